%% What an Erlang program can ask of the system it runs on.
-module(holdfast).

-export([start/0, platform/0]).

%% For `erl -s holdfast`: start the application and all it needs.
-spec start() -> ok.
start() ->
    {ok, _} = application:ensure_all_started(holdfast),
    ok.

%% The kernel's own words about itself, as a binary.
-spec platform() -> binary().
platform() ->
    case file:read_file("/proc/version") of
        {ok, Text} -> string:trim(Text);
        {error, _} -> <<"unknown">>
    end.
