%% The test set of BEAM round after round, by turns without checkpoints and with one after each
%% period, while a process sleeps a second again and again: for long_checkpoint.py. Turns, since what
%% a machine under other load takes is only comparable with what it takes at about the same time.
-module(hf_long).

-export([run/2, run/3]).

-define(SLEEP_MS, 1000).
-define(PERIOD_MS, 10).

%% Rounds with checkpoints for so many seconds in all, at least one, and as many without. A line for
%% each round, and at the end one for each way: what was not ok, [{Round, Test, Result}], and the
%% sleeps that began and ended in it, in us.
run(Seconds, Set) ->
    run(Seconds, Set, [off, ?PERIOD_MS]).

run(Seconds, Set, Ways) ->
    Sleeper = spawn_link(fun() -> sleep(none, []) end),
    Wrong = rounds(Set, Ways, Sleeper, Seconds * 1000, 1, []),
    Sleeper ! {stop, self()},
    Sleeps = receive {sleeps, S} -> S end,
    [tell(Way, [{N, T, R} || {W, N, T, R} <- Wrong, W =:= Way],
          lists:sort([Took || {W, Took} <- Sleeps, W =:= Way])) || Way <- Ways].

tell(Way, Wrong, Sleeps) ->
    io:format("~nway ~w wrong ~0p sleeps ~w end~n", [Way, Wrong, Sleeps]).

rounds(_, _, _, Left, N, Wrong) when Left =< 0, N > 1 ->
    Wrong;
rounds(Set, Ways, Sleeper, Left, N, Wrong) ->
    Done = [round(Set, Way, Sleeper, N) || Way <- Ways],
    {Took, _} = lists:last(Done),
    rounds(Set, Ways, Sleeper, Left - Took, N + 1, Wrong ++ lists:append([W || {_, W} <- Done])).

round(Set, Way, Sleeper, N) ->
    ok = holdfast:checkpoint_period(Way),
    Sleeper ! {way, Way},
    Start = erlang:monotonic_time(millisecond),
    Wrong = Set(),
    Took = erlang:monotonic_time(millisecond) - Start,
    io:format("~nround ~b way ~w took ~b ms~n", [N, Way, Took]),
    {Took, [{Way, N, Test, Result} || {Test, Result} <- Wrong]}.

%% A sleep in which the way changes counts for none.
sleep(Way, Took) ->
    Start = erlang:monotonic_time(microsecond),
    timer:sleep(?SLEEP_MS),
    Us = erlang:monotonic_time(microsecond) - Start,
    receive
        {way, Next} -> sleep(Next, Took);
        {stop, From} -> From ! {sleeps, [{Way, Us} | Took]}
    after 0 -> sleep(Way, [{Way, Us} | Took])
    end.
