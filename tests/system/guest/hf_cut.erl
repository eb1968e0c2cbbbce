%% A node that power cuts must not harm: processes that check each other, for powercut.py.
%%
%%   counter   a gen_server; every call adds one
%%   table     ETS {N, N * N}: as many rows as `-rows' says, and one more for each call
%%   ticker    timer:send_interval, compared with the monotonic clock
%%   log       a file that a line is appended to, read back and compared
%%   port      `cat` as a port program, that must echo what it gets, in order
%% and the program blocked as a port, whose words are passed on.
-module(hf_cut).

-behaviour(gen_server).

-export([start/0, init/1, handle_call/3, handle_cast/2]).

start() ->
    spawn(fun main/0).

main() ->
    process_flag(trap_exit, true),
    {ok, Counter} = gen_server:start_link({local, counter}, ?MODULE, 0, []),
    Rows = rows(init:get_argument(rows)),
    Table = ets:new(table, [public, ordered_set]),
    [ets:insert(Table, {K, K * K}) || K <- lists:seq(0, Rows - 1)],
    spawn_link(fun() -> ticker() end),
    Cat = open_port({spawn_executable, "/bin/cat"}, [binary, stream]),
    Blocked = open_port({spawn_executable, "/bin/blocked"}, [{args, ["100000"]}, {line, 200}]),
    {ok, Log} = file:open("/root/cut.log", [read, write, raw, binary]),
    _ = rand:seed(exsss, {1, 2, 3}),
    loop(#{n => 0, rows => Rows, counter => Counter, table => Table, cat => Cat,
           blocked => Blocked, log => Log, self => self(), secret => make_ref()}).

rows({ok, [[Text]]}) -> list_to_integer(Text);
rows(error) -> 0.

loop(#{n := N, counter := Counter, table := Table, cat := Cat, log := Log, self := Self} = S) ->
    same(self, self(), Self),
    same(counter, gen_server:call(Counter, add, 60000), N + 1),
    Row = maps:get(rows, S) + N,
    ets:insert(Table, {Row, Row * Row}),
    same(rows, ets:info(Table, size), Row + 1),
    [same(row, ets:lookup(Table, R), [{R, R * R}])
     || R <- [rand:uniform(Row + 1) - 1 || _ <- lists:seq(1, 20)]],
    K = rand:uniform(N + 1) - 1,
    true = port_command(Cat, <<N:64>>),
    same(cat, echo(Cat, <<>>), <<N:64>>),
    ok = file:write(Log, <<N:64>>),
    {ok, <<K:64>>} = file:pread(Log, 8 * K, 8),
    {ok, End} = file:position(Log, eof),
    same(log, End, 8 * (N + 1)),
    pass_on(S),
    N rem 5 =:= 0 andalso io:format("node ~b~n", [N]),
    timer:sleep(20),
    loop(S#{n := N + 1}).

init(Count) ->
    {ok, Count}.

handle_call(add, _From, Count) ->
    {reply, Count + 1, Count + 1}.

handle_cast(_, Count) ->
    {noreply, Count}.

echo(_, Have) when byte_size(Have) >= 8 -> Have;
echo(Cat, Have) ->
    receive {Cat, {data, More}} -> echo(Cat, <<Have/binary, More/binary>>)
    after 60000 -> wrong(cat, silent, Have)
    end.

pass_on(#{blocked := Blocked} = S) ->
    receive
        {Blocked, {data, {_, "turn" ++ _ = Line}}} -> io:format("~s~n", [Line]), pass_on(S);
        {Blocked, {data, {_, Line}}} -> wrong(blocked, Line, "turn");
        {'EXIT', Who, Why} -> wrong(exit, {Who, Why}, none)
    after 0 -> ok
    end.

%% Each tick comes when it should, whatever happened in between.
ticker() ->
    Start = erlang:monotonic_time(millisecond),
    {ok, _} = timer:send_interval(100, tick),
    tick(Start, 0).

tick(Start, N) ->
    receive tick -> ok after 60000 -> wrong(tick, silent, N) end,
    Due = (erlang:monotonic_time(millisecond) - Start) div 100 + 1,
    N + 1 =< Due orelse wrong(tick, N + 1, Due),
    tick(Start, N + 1).

same(_, Is, Is) -> ok;
same(What, Is, Should) -> wrong(What, Is, Should).

wrong(What, Is, Should) ->
    io:format("WRONG ~p: ~p, not ~p~n", [What, Is, Should]),
    timer:sleep(1000),
    halt(1).
