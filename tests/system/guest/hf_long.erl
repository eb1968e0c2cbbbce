%% The test set of BEAM round after round, by turns without checkpoints and with one after each
%% period, while a process sleeps a second again and again: for long_checkpoint.py. Turns, since what
%% a machine under other load takes is only comparable with what it takes at about the same time.
-module(hf_long).

-export([run/2, run/3]).

-define(SLEEP_MS, 1000).
-define(PERIOD_MS, 10).
-define(MORE_ROUNDS, 10).

%% Rounds with checkpoints for so many seconds in all, at least one, and as many without. A line for
%% each round, and at the end one for each way: what was not ok, [{Round, Test, Result}], the errors
%% of calls, [{Call, Error, Count}], where the kernel counts them, and the sleeps that began and ended
%% in it, in us.
run(Seconds, Set) ->
    run(Seconds, Set, [off, ?PERIOD_MS]).

run(Seconds, Set, Ways) ->
    Sleeper = spawn_link(fun() -> sleep(none, []) end),
    {Wrong, First} = rounds(Set, Ways, Sleeper, Seconds * 1000, 1, {[], []}),
    Errors = more(Set, Ways, Sleeper, First, ?MORE_ROUNDS),
    Sleeper ! {stop, self()},
    Sleeps = receive {sleeps, S} -> S end,
    [tell(Way, [{N, T, R} || {W, N, T, R} <- Wrong, W =:= Way],
          sum([E || {W, Es} <- Errors, W =:= Way, E <- Es]),
          lists:sort([Took || {W, Took} <- Sleeps, W =:= Way])) || Way <- Ways].

tell(Way, Wrong, Errors, Sleeps) ->
    io:format("~nway ~w wrong ~0p errors ~0p sleeps ~w end~n", [Way, Wrong, Errors, Sleeps]).

sum(Errors) ->
    Keys = lists:usort([{Call, Error} || {Call, Error, _} <- Errors]),
    [{Call, Error, lists:sum([N || {C, E, N} <- Errors, C =:= Call, E =:= Error])}
     || {Call, Error} <- Keys].

%% The kernel counts them when its command line says count-errors.
errors() ->
    case file:read_file("/proc/holdfast/errors") of
        {ok, Text} ->
            maps:from_list([{{list_to_atom(Call), list_to_integer(Error)}, list_to_integer(N)} ||
                               Line <- string:lexemes(binary_to_list(Text), "\n"),
                               [Call, Error, N] <- [string:lexemes(Line, " ")]]);
        {error, enoent} ->
            #{}
    end.

since(Before, Now) ->
    [{Call, Error, N - maps:get(Key, Before, 0)} || {{Call, Error} = Key, N} <- maps:to_list(Now),
                                                   N > maps:get(Key, Before, 0)].

rounds(_, _, _, Left, N, Wrong) when Left =< 0, N > 1 ->
    Wrong;
rounds(Set, Ways, Sleeper, Left, N, {Wrong, Errors}) ->
    Done = [round(Set, Way, Sleeper, N) || Way <- Ways],
    {Took, _, _} = lists:last(Done),
    rounds(Set, Ways, Sleeper, Left - Took, N + 1,
           {Wrong ++ lists:append([W || {_, W, _} <- Done]), Errors ++ [E || {_, _, E} <- Done]}).

%% Which errors there are also depends on which of two processes is first. When there were some that
%% the first way has not shown, it has more rounds to do so.
more(Set, [Way | _] = Ways, Sleeper, Errors, Left) ->
    case new(Errors, Ways) of
        [_ | _] when Left > 0 ->
            {_, _, {_, More}} = round(Set, Way, more, Sleeper, ?MORE_ROUNDS - Left + 1),
            more(Set, Ways, Sleeper, [{Way, More} | Errors], Left - 1);
        _ ->
            Errors
    end.

new(Errors, [Way | Others]) ->
    keys(Errors, Others) -- keys(Errors, [Way]).

keys(Errors, Ways) ->
    lists:usort([{Call, Error} || {W, Es} <- Errors, lists:member(W, Ways), {Call, Error, _} <- Es]).

round(Set, Way, Sleeper, N) ->
    round(Set, Way, Way, Sleeper, N).

round(Set, Way, As, Sleeper, N) ->
    ok = holdfast:checkpoint_period(Way),
    Sleeper ! {way, As},
    Before = errors(),
    Start = erlang:monotonic_time(millisecond),
    Wrong = Set(),
    Took = erlang:monotonic_time(millisecond) - Start,
    io:format("~nround ~b way ~w took ~b ms~n", [N, As, Took]),
    {Took, [{Way, N, Test, Result} || {Test, Result} <- Wrong], {Way, since(Before, errors())}}.

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
