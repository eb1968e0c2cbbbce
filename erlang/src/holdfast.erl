%% What an Erlang program can ask of the system it runs on.
-module(holdfast).

-export([start/0, platform/0, clusters/0]).
-export([status/0, checkpoint/0, checkpoint_period/1, subscribe/0, unsubscribe/0]).

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

%% Figures of the checkpoints: epoch, pause_us, commit_us, resumes, used_bytes, room_bytes (what
%% files may still take) and others of /proc/holdfast/store. Without a store, `{error, no_store}'.
-spec status() -> #{atom() => integer()} | {error, no_store}.
status() ->
    case file:read_file("/proc/holdfast/store") of
        {ok, Text} -> figures(string:lexemes(Text, " \n"));
        {error, _} -> {error, no_store}
    end.

%% Returns when all that was done before is durable, with the epoch that holds it.
-spec checkpoint() -> {ok, pos_integer()} | {error, no_store | file:posix()}.
checkpoint() ->
    case tell("checkpoint\n") of
        ok -> {ok, maps:get(epoch, status())};
        {error, _} = Error -> Error
    end.

%% The time between checkpoints, ms; `off': only when asked for.
-spec checkpoint_period(pos_integer() | off) -> ok | {error, no_store | file:posix()}.
checkpoint_period(off) ->
    tell("period 0\n");
checkpoint_period(Ms) when is_integer(Ms), Ms > 0 ->
    tell(["period ", integer_to_list(Ms), "\n"]).

%% From now on the caller gets {holdfast, resumed, #{epoch, outage_ms, cause}} after each resume.
-spec subscribe() -> ok | {error, no_store}.
subscribe() ->
    holdfast_resume:subscribe(self()).

-spec unsubscribe() -> ok.
unsubscribe() ->
    holdfast_resume:unsubscribe(self()).

tell(Words) ->
    case file:write_file("/dev/holdfast", Words, [raw, write]) of
        {error, enoent} -> {error, no_store};
        Result -> Result
    end.
