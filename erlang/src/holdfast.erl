%% What an Erlang program can ask of the system it runs on.
-module(holdfast).

-export([start/0, platform/0, clusters/0]).

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

%% What each cluster has and did, from /proc/holdfast/clusters: a map of counters for each, such as
%% #{cluster => 0, cores => 2, free_kb => ..., allocs_remote => 0, ...}. Empty on another kernel.
-spec clusters() -> [#{atom() => non_neg_integer()}].
clusters() ->
    case file:read_file("/proc/holdfast/clusters") of
        {ok, Text} -> [figures(string:lexemes(L, " ")) || L <- string:lexemes(Text, "\n")];
        {error, _} -> []
    end.

figures([Name, Value | Rest]) ->
    (figures(Rest))#{binary_to_atom(Name) => binary_to_integer(Value)};
figures([]) ->
    #{}.
