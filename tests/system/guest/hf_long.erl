%% The test set of BEAM round after round, while a process sleeps a second again and again: for
%% long_checkpoint.py.
-module(hf_long).

-export([run/1, run/2]).

-define(SLEEP_MS, 1000).

%% Rounds for so many seconds, at least one. What was not ok: [{Round, Test, Result}]; the sleeps, us.
run(Seconds) ->
    run(Seconds, fun hf_test:all/0).

run(Seconds, Set) ->
    End = erlang:monotonic_time(second) + Seconds,
    Sleeper = spawn_link(fun() -> sleep([]) end),
    {Rounds, Wrong} = rounds(Set, End, 0, []),
    Sleeper ! {stop, self()},
    Sleeps = receive {sleeps, S} -> lists:sort(S) end,
    Median = lists:nth((length(Sleeps) + 1) div 2, Sleeps),
    io:format("~nrounds ~b wrong ~0p sleeps ~b least ~b median ~b most ~b~n",
              [Rounds, Wrong, length(Sleeps), hd(Sleeps), Median, lists:last(Sleeps)]).

rounds(Set, End, N, Wrong) ->
    More = Wrong ++ [{N + 1, Test, Result} || {Test, Result} <- Set()],
    case erlang:monotonic_time(second) of
        Now when Now >= End -> {N + 1, More};
        _ -> rounds(Set, End, N + 1, More)
    end.

sleep(Took) ->
    Start = erlang:monotonic_time(microsecond),
    timer:sleep(?SLEEP_MS),
    All = [erlang:monotonic_time(microsecond) - Start | Took],
    receive {stop, From} -> From ! {sleeps, All} after 0 -> sleep(All) end.
