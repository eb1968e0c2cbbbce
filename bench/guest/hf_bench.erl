%% The BEAM set: what a typical node does, each as a fixed amount of work.
%% main/0 prints "name microseconds", the best of some rounds; profile/1 runs some of them as
%% sections of a profile; http/1 is the server of the keep-alive figure, periods/2 the throughput
%% with checkpoints, reply/1 who answers after a power cut.
-module(hf_bench).

-export([main/0, profile/1, http/1, periods/2, reply/1]).

-define(ROUNDS, 3).

main() ->
    [io:format("~s ~b~n", [Name, best(Fun)]) || {Name, Fun} <- set()],
    ok.

%% Each is run once before it counts. Prints which section is which.
profile(Names) ->
    [begin
         alone(Fun),
         io:format("section ~b ~s~n", [N, Name]),
         os:cmd("/bench/mark " ++ integer_to_list(N)),
         alone(Fun),
         os:cmd("/bench/mark 0")
     end || {N, {Name, Fun}} <- lists:zip(lists:seq(1, length(set())), set()),
            Names =:= [] orelse lists:member(Name, Names)],
    ok.

set() ->
    [{"ring messages", fun ring/0}, {"spawn", fun spawns/0}, {"ets", fun ets_work/0},
     {"sort", fun sort/0}, {"binaries", fun binaries/0}, {"file info", fun file_info/0},
     {"file read", fun file_read/0}, {"loopback echo", fun echo/0},
     {"loopback bulk", fun bulk/0}, {"connects", fun connects/0},
     {"os:cmd", fun os_cmd/0}, {"timers", fun timers/0}].

best(Fun) ->
    lists:min([alone(Fun) || _ <- lists:seq(1, ?ROUNDS)]).

%% In a process of its own, so that no round pays for another's garbage.
alone(Fun) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({took, element(1, timer:tc(Fun))}) end),
    receive
        {'DOWN', Ref, process, Pid, {took, Time}} -> Time;
        {'DOWN', Ref, process, Pid, Reason} -> exit(Reason)
    end.

ring() ->
    Self = self(),
    First = lists:foldl(fun(_, Next) -> spawn(fun() -> forward(Next) end) end, Self,
                        lists:seq(1, 200)),
    [begin First ! N, receive N -> ok end end || N <- lists:seq(1, 250)],
    First ! stop,
    receive stop -> ok end.

forward(Next) ->
    receive
        stop -> Next ! stop;
        Term -> Next ! Term, forward(Next)
    end.

spawns() ->
    Self = self(),
    [spawn(fun() -> Self ! done end) || _ <- lists:seq(1, 20000)],
    [receive done -> ok end || _ <- lists:seq(1, 20000)],
    ok.

ets_work() ->
    Workers = erlang:system_info(schedulers),
    Table = ets:new(bench, [public, {write_concurrency, true}]),
    parallel(Workers, fun(W) ->
                              [begin
                                   ets:insert(Table, {{W, N}, N}),
                                   ets:lookup(Table, {W, N - 1})
                               end || N <- lists:seq(1, 30000)]
                      end),
    ets:delete(Table).

parallel(Count, Fun) ->
    Refs = [spawn_monitor(fun() -> Fun(N) end) || N <- lists:seq(1, Count)],
    [receive {'DOWN', Ref, process, _, normal} -> ok end || {_, Ref} <- Refs].

sort() ->
    rand:seed(exsss, {1, 2, 3}),
    List = [rand:uniform(1000000) || _ <- lists:seq(1, 100000)],
    length(lists:usort(List)).

binaries() ->
    Block = binary:copy(<<"0123456789abcdef">>, 4096),
    lists:foldl(fun(_, Sum) ->
                        Copy = binary:copy(Block, 16),
                        Sum + erlang:crc32(Copy)
                end, 0, lists:seq(1, 100)).

file_info() ->
    [{ok, _} = file:read_file_info("/usr/lib/erlang/bin/erl") || _ <- lists:seq(1, 3000)],
    ok.

file_read() ->
    [{ok, _} = file:read_file("/usr/bin/busybox") || _ <- lists:seq(1, 50)],
    ok.

pair() ->
    {ok, L} = gen_tcp:listen(0, [binary, {active, false}, {nodelay, true}]),
    {ok, Port} = inet:port(L),
    {ok, C} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}, {nodelay, true}]),
    {ok, S} = gen_tcp:accept(L),
    gen_tcp:close(L),
    {C, S}.

echo() ->
    {C, S} = pair(),
    Pid = spawn_link(fun() -> receive go -> echo_back(S) end end),
    ok = gen_tcp:controlling_process(S, Pid),
    Pid ! go,
    [begin ok = gen_tcp:send(C, <<"ping">>), {ok, _} = gen_tcp:recv(C, 4) end
     || _ <- lists:seq(1, 2000)],
    gen_tcp:close(C).

echo_back(S) ->
    case gen_tcp:recv(S, 0) of
        {ok, Data} -> ok = gen_tcp:send(S, Data), echo_back(S);
        {error, closed} -> ok
    end.

bulk() ->
    {C, S} = pair(),
    Block = binary:copy(<<0>>, 65536),
    spawn_link(fun() -> [gen_tcp:send(C, Block) || _ <- lists:seq(1, 512)] end),
    drain(S, 512 * 65536),
    gen_tcp:close(S),
    gen_tcp:close(C).

drain(_, 0) -> ok;
drain(S, Left) ->
    {ok, Data} = gen_tcp:recv(S, 0),
    drain(S, Left - byte_size(Data)).

connects() ->
    {ok, L} = gen_tcp:listen(0, [binary, {active, false}, {backlog, 128}, {reuseaddr, true}]),
    {ok, Port} = inet:port(L),
    Acceptor = spawn_link(fun() -> accept(L) end),
    [begin
         {ok, C} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]),
         {ok, <<"x">>} = gen_tcp:recv(C, 1),
         gen_tcp:close(C)
     end || _ <- lists:seq(1, 300)],
    unlink(Acceptor),
    exit(Acceptor, kill),
    gen_tcp:close(L).

accept(L) ->
    {ok, S} = gen_tcp:accept(L),
    ok = gen_tcp:send(S, <<"x">>),
    gen_tcp:close(S),
    accept(L).

os_cmd() ->
    ["x\n" = os:cmd("echo x") || _ <- lists:seq(1, 20)],
    ok.

timers() ->
    Self = self(),
    parallel(2, fun(_) ->
                        [begin
                             erlang:send_after(1, self(), tick),
                             receive tick -> ok end
                         end || _ <- lists:seq(1, 100)]
                end),
    [erlang:send_after(N rem 50, Self, tock) || N <- lists:seq(1, 20000)],
    [receive tock -> ok end || _ <- lists:seq(1, 20000)],
    ok.

%% HTTP/1.1 with keep-alive, as small as can be; /mark/N begins section N of a profile.
http(Port) ->
    {ok, L} = gen_tcp:listen(Port, [binary, {active, false}, {packet, http_bin}, {backlog, 512},
                                    {nodelay, true}, {reuseaddr, true}]),
    [spawn(fun() -> http_accept(L) end) || _ <- lists:seq(1, 32)],
    io:format("HTTP is up~n"),
    receive stop -> ok end.

http_accept(L) ->
    {ok, S} = gen_tcp:accept(L),
    Pid = spawn(fun() -> receive go -> http_serve(S) end end),
    _ = gen_tcp:controlling_process(S, Pid),
    Pid ! go,
    http_accept(L).

http_serve(S) ->
    case gen_tcp:recv(S, 0) of
        {ok, {http_request, 'GET', {abs_path, <<"/mark/", N/binary>>}, _}} ->
            os:cmd("/bench/mark " ++ binary_to_list(N)),
            http_headers(S);
        {ok, {http_request, 'GET', _, _}} -> http_headers(S);
        {ok, {http_header, _, _, _, _}} -> http_serve(S);
        _ -> gen_tcp:close(S)
    end.

http_headers(S) ->
    case gen_tcp:recv(S, 0) of
        {ok, http_eoh} ->
            _ = gen_tcp:send(S, <<"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n"
                                  "Content-Type: text/plain\r\n\r\nHello there\n">>),
            http_serve(S);
        {ok, {http_header, _, _, _, _}} -> http_headers(S);
        _ -> gen_tcp:close(S)
    end.

%% The whole set with a checkpoint every so many milliseconds, each turn of it between two without
%% any (0). What was done before the first counts is on the disk then.
periods(Periods, Rounds) ->
    [alone(Fun) || {_, Fun} <- set()],
    Turns = [0 | lists:append([[P, 0] || _ <- lists:seq(1, Rounds), P <- Periods])],
    [begin
         period(0),
         holdfast("checkpoint"),    % what the turn before has left is no work of this one
         period(P),
         [io:format("turn ~b period ~b ~s ~b~n", [Turn, P, Name, alone(Fun)])
          || {Name, Fun} <- set()]
     end || {Turn, P} <- lists:zip(lists:seq(1, length(Turns)), Turns)],
    period(0).

period(Ms) -> holdfast("period " ++ integer_to_list(Ms)).

holdfast(Word) ->
    {ok, Device} = file:open("/dev/holdfast", [write, raw]),
    ok = file:write(Device, Word ++ "\n"),
    ok = file:close(Device).

%% Answers lines over TCP: `checkpoint` when one is durable, `figures` with what the kernel says of
%% checkpoints in one line, `mark` when a section of a profile was ended, others at once.
reply(Port) ->
    {ok, L} = gen_tcp:listen(Port, [binary, {active, false}, {packet, line}, {reuseaddr, true},
                                    {backlog, 512}]),
    reply_accept(L).

reply_accept(L) ->
    {ok, S} = gen_tcp:accept(L),
    Pid = spawn(fun() -> receive go -> reply_lines(S) end end),
    _ = gen_tcp:controlling_process(S, Pid),
    Pid ! go,
    reply_accept(L).

reply_lines(S) ->
    case gen_tcp:recv(S, 0) of
        {ok, <<"checkpoint\n">>} -> holdfast("checkpoint"), reply_line(S, <<"here">>);
        {ok, <<"figures\n">>} -> reply_line(S, figures());
        {ok, <<"mark\n">>} -> os:cmd("/bench/mark 0"), reply_line(S, <<"here">>);
        {ok, _} -> reply_line(S, <<"here">>);
        _ -> gen_tcp:close(S)
    end.

reply_line(S, Line) ->
    _ = gen_tcp:send(S, [Line, $\n]),
    reply_lines(S).

figures() ->
    {ok, Text} = file:read_file("/proc/holdfast/store"),
    binary:replace(Text, <<"\n">>, <<",">>, [global]).
