%% What the system tests ask of a running Erlang. Every function of no
%% arguments returns ok, or fails with what it saw.
-module(hf_test).

-export([loopback_net/0, distribution/0, os_cmd/0, port_to_cat/0, port_exit_status/0, many_ports/0, getifaddrs/0,
         resolve/0, resolve_inet_res/1, files/0, big_file/0, directory/0, links/0,
         random/0, tls/0, sleep_accuracy/0, timers/0, ets_storm/0, message_storm/0,
         ring/0, binaries/0, udp/0, udp6/0, tcp6/0, unix_socket/0, sendfile/0, os_mon/0,
         tcp_options/0, socket_module/0, env/0, time/0, compile/0, all/0]).
-export([serve/2, stop/1]).

all() ->
    Tests = [os_cmd, port_to_cat, port_exit_status, many_ports, getifaddrs, files,
             big_file, directory, links, random, tls, sleep_accuracy, timers,
             ets_storm, message_storm, ring, binaries, udp, udp6, tcp6, unix_socket,
             sendfile, os_mon, tcp_options, socket_module, env, time, compile],
    [{T, R} || T <- Tests, (R = catch ?MODULE:T()) =/= ok].

%% Programs

os_cmd() ->
    Uname = os:cmd("uname -a"),
    true = length(string:lexemes(Uname, " ")) > 3,
    "hello\n" = os:cmd("echo hello"),
    "3\n" = os:cmd("printf 'a\\nb\\nc\\n' | grep -c ."),
    ok.

port_to_cat() ->
    Port = open_port({spawn, "cat"}, [binary, exit_status]),
    Data = crypto:strong_rand_bytes(200000),
    true = port_command(Port, Data),
    Data = collect(Port, <<>>, byte_size(Data)),
    true = port_close(Port),
    ok.

collect(_Port, Got, 0) ->
    Got;
collect(Port, Got, Left) ->
    receive
        {Port, {data, Part}} -> collect(Port, <<Got/binary, Part/binary>>, Left - byte_size(Part))
    after 30000 -> error({short, Left})
    end.

port_exit_status() ->
    [begin
         Port = open_port({spawn_executable, "/bin/sh"},
                          [{args, ["-c", "exit " ++ integer_to_list(N)]}, exit_status]),
         receive {Port, {exit_status, N}} -> ok after 30000 -> error({no_status, N}) end
     end || N <- [0, 1, 42, 255]],
    ok.

many_ports() ->
    Ports = [open_port({spawn, "cat"}, [binary]) || _ <- lists:seq(1, 50)],
    [true = port_command(P, <<"x">>) || P <- Ports],
    [receive {P, {data, <<"x">>}} -> ok after 60000 -> error(port) end || P <- Ports],
    [port_close(P) || P <- Ports],
    ok.

env() ->
    "C.UTF-8" = os:getenv("LANG"),
    utf8 = file:native_name_encoding(),
    "holdfast" = element(2, inet:gethostname()),
    true = is_list(os:getenv("HOME")),
    false = os:getenv("NO_SUCH_VARIABLE"),
    ok.

%% Network

getifaddrs() ->
    {ok, List} = inet:getifaddrs(),
    Addresses = [A || {_, Options} <- List, {addr, A} <- Options],
    true = lists:member({127, 0, 0, 1}, Addresses),
    true = lists:member({0, 0, 0, 0, 0, 0, 0, 1}, Addresses),
    true = length([A || {10, _, _, _} = A <- Addresses]) > 0,
    ok.

resolve() ->
    {ok, {127, 0, 0, 1}} = inet:getaddr("localhost", inet),
    {ok, {0, 0, 0, 0, 0, 0, 0, 1}} = inet:getaddr("localhost", inet6),
    {error, nxdomain} = inet:getaddr("no-such-name.invalid", inet),
    ok.

%% Through Erlang's own resolver: `Name` is expected to lead somewhere.
resolve_inet_res(Name) ->
    {ok, _} = inet_res:gethostbyname(Name),
    ok.

udp() -> udp(inet, {127, 0, 0, 1}).

udp6() -> udp(inet6, {0, 0, 0, 0, 0, 0, 0, 1}).

udp(Family, Address) ->
    {ok, A} = gen_udp:open(0, [Family, binary, {ip, Address}, {active, true},
                               {buffer, 65536}, {recbuf, 200000}]),
    {ok, B} = gen_udp:open(0, [Family, binary, {ip, Address}, {active, false}]),
    {ok, Port} = inet:port(A),
    [begin
         Data = crypto:strong_rand_bytes(Size),
         ok = gen_udp:send(B, Address, Port, Data),
         receive {udp, A, Address, _, Data} -> ok after 10000 -> error({lost, Size}) end
     end || Size <- [1, 100, 1400, 8000, 30000]],
    gen_udp:close(A),
    gen_udp:close(B).

%% All of 127.0.0.0/8 is this machine; Debian gives the host name 127.0.1.1.
loopback_net() ->
    {ok, L} = gen_tcp:listen(0, [binary, {active, false}]),
    {ok, Port} = inet:port(L),
    [begin
         {ok, C} = gen_tcp:connect(A, Port, [binary], 5000),
         {ok, {A, Port}} = inet:peername(C),
         ok = gen_tcp:close(C)
     end || A <- [{127, 0, 0, 1}, {127, 0, 1, 1}, {127, 255, 255, 254}]],
    gen_tcp:close(L).

%% Erlang's own distribution: two nodes on this machine, epmd between them.
distribution() ->
    _ = os:cmd("epmd -daemon"),
    {ok, _} = net_kernel:start([hf_one, shortnames]),
    true = erlang:set_cookie(node(), hf_cookie),
    Port = open_port({spawn, "erl -noshell -sname hf_two -setcookie hf_cookie"}, []),
    [_, Host] = string:lexemes(atom_to_list(node()), "@"),
    Two = list_to_atom("hf_two@" ++ Host),
    connect(Two, 100),
    4 = rpc:call(Two, erlang, '+', [2, 2]),
    Data = crypto:strong_rand_bytes(1000000),
    Data = rpc:call(Two, erlang, list_to_binary, [[Data]]),
    monitor_node(Two, true),
    rpc:cast(Two, init, stop, []),
    receive {nodedown, Two} -> ok after 60000 -> error(still_up) end,
    true = port_close(Port),
    net_kernel:stop().

connect(_, 0) -> error(no_connection);
connect(Node, Left) ->
    case net_adm:ping(Node) of
        pong -> ok;
        pang -> timer:sleep(200), connect(Node, Left - 1)
    end.

tcp6() ->
    {ok, L} = gen_tcp:listen(0, [inet6, binary, {active, false}, {ip, any6()}]),
    {ok, Port} = inet:port(L),
    {ok, C} = gen_tcp:connect("::1", Port, [inet6, binary, {active, false}]),
    {ok, S} = gen_tcp:accept(L, 10000),
    ok = gen_tcp:send(C, <<"six">>),
    {ok, <<"six">>} = gen_tcp:recv(S, 3, 10000),
    {ok, {{0, 0, 0, 0, 0, 0, 0, 1}, _}} = inet:peername(S),
    ok = gen_tcp:close(C),
    {error, closed} = gen_tcp:recv(S, 1, 10000),
    gen_tcp:close(L).

any6() -> {0, 0, 0, 0, 0, 0, 0, 0}.

unix_socket() ->
    Path = "/tmp/hf_test.sock",
    _ = file:delete(Path),
    {ok, L} = gen_tcp:listen(0, [binary, {active, false}, {ifaddr, {local, Path}}]),
    {ok, C} = gen_tcp:connect({local, Path}, 0, [binary, {active, false}]),
    {ok, S} = gen_tcp:accept(L, 10000),
    ok = gen_tcp:send(S, <<"here">>),
    {ok, <<"here">>} = gen_tcp:recv(C, 4, 10000),
    ok = gen_tcp:close(L),
    ok = file:delete(Path).

sendfile() ->
    Data = crypto:strong_rand_bytes(1 bsl 20),
    ok = file:write_file("/tmp/sendfile", Data),
    {L, C, S} = pair(),
    Self = self(),  % How much a connection holds unread is the system's affair.
    spawn_link(fun() -> Self ! {received, receive_all(C, [])} end),
    {ok, _} = file:sendfile("/tmp/sendfile", S),
    ok = gen_tcp:close(S),
    receive {received, Data} -> ok after 60000 -> error(short) end,
    ok = gen_tcp:close(L).

pair() ->
    {ok, L} = gen_tcp:listen(0, [binary, {active, false}]),
    {ok, Port} = inet:port(L),
    {ok, C} = gen_tcp:connect("localhost", Port, [binary, {active, false}]),
    {ok, S} = gen_tcp:accept(L, 10000),
    {L, C, S}.

receive_all(Socket, Parts) ->
    case gen_tcp:recv(Socket, 0, 30000) of
        {ok, Part} -> receive_all(Socket, [Part | Parts]);
        {error, closed} -> iolist_to_binary(lists:reverse(Parts))
    end.

tcp_options() ->
    {L, C, S} = pair(),
    ok = inet:setopts(C, [{nodelay, true}, {keepalive, true}, {linger, {true, 5}},
                          {sndbuf, 65536}, {recbuf, 65536}, {priority, 1}, {tos, 16},
                          {reuseaddr, true}, {send_timeout, 1000}]),
    {ok, [{nodelay, true}, {keepalive, true}, {linger, {true, 5}}, {reuseaddr, true}]} =
        inet:getopts(C, [nodelay, keepalive, linger, reuseaddr]),
    {ok, [{sndbuf, Send}]} = inet:getopts(C, [sndbuf]),
    true = Send >= 65536,
    {error, econnrefused} = gen_tcp:connect({127, 0, 0, 1}, 1, []),
    {ok, Port} = inet:port(L),
    {error, eaddrinuse} = gen_tcp:listen(Port, []),
    ok = inet:setopts(S, [{exit_on_close, false}]),
    ok = gen_tcp:shutdown(C, write),
    {error, closed} = gen_tcp:recv(S, 0, 10000),
    ok = gen_tcp:send(S, <<"still">>),
    {ok, <<"still">>} = gen_tcp:recv(C, 5, 10000),
    [gen_tcp:close(X) || X <- [L, C, S]],
    ok.

%% The socket module: OTP's newer way in, straight to the system calls.
socket_module() ->
    {ok, L} = socket:open(inet, stream, tcp),
    ok = socket:setopt(L, {socket, reuseaddr}, true),
    ok = socket:bind(L, #{family => inet, port => 0, addr => loopback}),
    ok = socket:listen(L),
    {ok, Name} = socket:sockname(L),
    {ok, C} = socket:open(inet, stream, tcp),
    ok = socket:connect(C, Name),
    {ok, S} = socket:accept(L, 10000),
    ok = socket:send(C, <<"abc">>),
    {ok, <<"abc">>} = socket:recv(S, 3, 10000),
    {ok, true} = socket:getopt(L, {socket, acceptconn}),
    [ok = socket:close(X) || X <- [L, C, S]],
    ok.

tls() ->
    {ok, _} = application:ensure_all_started(ssl),
    #{server_config := ServerConfig, client_config := ClientConfig} =
        public_key:pkix_test_data(
          #{server_chain => #{root => [{key, {namedCurve, secp256r1}}],
                              intermediates => [],
                              peer => [{key, {namedCurve, secp256r1}}]},
            client_chain => #{root => [{key, {namedCurve, secp256r1}}],
                              intermediates => [],
                              peer => [{key, {namedCurve, secp256r1}}]}}),
    Common = [binary, {active, false}, {versions, ['tlsv1.3']}],
    {ok, L} = ssl:listen(0, Common ++ ServerConfig),
    {ok, {_, Port}} = ssl:sockname(L),
    Self = self(),
    spawn_link(fun() ->
                       {ok, T} = ssl:transport_accept(L, 60000),
                       {ok, S} = ssl:handshake(T, 60000),
                       {ok, Data} = ssl:recv(S, 5, 60000),
                       ok = ssl:send(S, [Data, Data]),
                       Self ! served,
                       receive done -> ok end
               end),
    {ok, C} = ssl:connect("localhost", Port,
                          Common ++ [{server_name_indication, disable} | ClientConfig], 60000),
    {ok, [{protocol, 'tlsv1.3'}]} = ssl:connection_information(C, [protocol]),
    ok = ssl:send(C, <<"hello">>),
    {ok, <<"hellohello">>} = ssl:recv(C, 10, 60000),
    receive served -> ok after 60000 -> error(not_served) end,
    ssl:close(C),
    ssl:close(L).

%% Files

files() ->
    Dir = "/tmp/hf_files",
    _ = file:del_dir_r(Dir),
    ok = file:make_dir(Dir),
    {error, eexist} = file:make_dir(Dir),
    A = Dir ++ "/ä file",
    Data = crypto:strong_rand_bytes(100000),
    ok = file:write_file(A, Data),
    {ok, Data} = file:read_file(A),
    ok = file:rename(A, Dir ++ "/b"),
    {error, enoent} = file:read_file(A),
    {ok, File} = file:open(Dir ++ "/b", [read, write, raw, binary]),
    ok = file:pwrite(File, 50000, <<"patch">>),
    {ok, <<"patch">>} = file:pread(File, 50000, 5),
    {ok, 10} = file:position(File, 10),
    ok = file:truncate(File),
    ok = file:datasync(File),
    ok = file:sync(File),
    ok = file:close(File),
    10 = filelib:file_size(Dir ++ "/b"),
    ok = file:write_file(Dir ++ "/b", <<"more">>, [append]),
    14 = filelib:file_size(Dir ++ "/b"),
    {error, enotdir} = file:read_file(Dir ++ "/b/c"),
    {error, eisdir} = file:read_file(Dir),
    {error, eexist} = file:del_dir(Dir),
    ok = file:change_mode(Dir ++ "/b", 8#600),
    ok = file:change_time(Dir ++ "/b", {{2001, 2, 3}, {4, 5, 6}}),
    {{2001, 2, 3}, _} = filelib:last_modified(Dir ++ "/b"),
    ok = file:del_dir_r(Dir).

big_file() ->
    Block = crypto:strong_rand_bytes(1 bsl 20),
    {ok, Out} = file:open("/tmp/big", [write, raw, binary, delayed_write]),
    [ok = file:write(Out, Block) || _ <- lists:seq(1, 16)],
    ok = file:close(Out),
    {ok, Whole} = file:read_file("/tmp/big"),
    true = erlang:md5(Whole) =:= erlang:md5(binary:copy(Block, 16)),
    {ok, 16777216} = file:copy("/tmp/big", "/tmp/big2"),
    ok = file:delete("/tmp/big"),
    ok = file:delete("/tmp/big2").

directory() ->
    Dir = "/tmp/hf_dir",
    _ = file:del_dir_r(Dir),
    Names = [integer_to_list(N) || N <- lists:seq(1, 500)],
    [ok = filelib:ensure_dir(Dir ++ "/" ++ N) || N <- ["x"]],
    [ok = file:write_file(filename:join(Dir, N), <<>>) || N <- Names],
    {ok, List} = file:list_dir(Dir),
    true = lists:sort(List) =:= lists:sort(Names),
    ok = file:set_cwd(Dir),
    {ok, Dir} = file:get_cwd(),
    ok = file:set_cwd("/"),
    ok = file:del_dir_r(Dir).

links() ->
    _ = [file:delete(F) || F <- ["/tmp/l1", "/tmp/l2", "/tmp/l3"]],
    ok = file:write_file("/tmp/l1", <<"linked">>),
    ok = file:make_link("/tmp/l1", "/tmp/l2"),
    ok = file:make_symlink("l2", "/tmp/l3"),
    {ok, "l2"} = file:read_link("/tmp/l3"),
    {ok, <<"linked">>} = file:read_file("/tmp/l3"),
    {ok, Info} = file:read_file_info("/tmp/l1"),
    2 = element(9, Info),
    {ok, LinkInfo} = file:read_link_info("/tmp/l3"),
    symlink = element(3, LinkInfo),
    ok = file:delete("/tmp/l1"),
    {ok, <<"linked">>} = file:read_file("/tmp/l2"),
    ok = file:delete("/tmp/l2"),
    {error, enoent} = file:read_file("/tmp/l3"),
    ok = file:delete("/tmp/l3").

compile() ->
    ok = file:write_file("/tmp/hf_made.erl", "-module(hf_made).\n-export([f/0]).\nf() -> 42.\n"),
    {ok, hf_made} = compile:file("/tmp/hf_made.erl", [{outdir, "/tmp"}]),
    {module, hf_made} = code:load_abs("/tmp/hf_made"),
    42 = hf_made:f(),
    true = code:delete(hf_made), % or the third load finds old code that is still there
    false = code:purge(hf_made),
    ok.

%% Numbers, time, load

random() ->
    Sample = [crypto:strong_rand_bytes(16) || _ <- lists:seq(1, 1000)],
    1000 = length(lists:usort(Sample)),
    ok.

time() ->
    true = erlang:system_time(second) > 1700000000,
    Times = [erlang:monotonic_time() || _ <- lists:seq(1, 100000)],
    true = Times =:= lists:sort(Times),
    {{Year, _, _}, _} = calendar:local_time(),
    true = Year > 2023,
    ok.

%% Never early; how late is the machine's affair, but not a second.
sleep_accuracy() ->
    [begin
         Start = erlang:monotonic_time(microsecond),
         timer:sleep(Ms),
         Took = erlang:monotonic_time(microsecond) - Start,
         true = Took >= Ms * 1000,
         true = Took < Ms * 1000 + 1000000
     end || Ms <- [1, 2, 5, 10, 50, 100, 250]],
    ok.

%% 10,000 processes, each with a timer of its own.
timers() ->
    Self = self(),
    Count = 10000,
    [spawn_link(fun() ->
                        erlang:send_after(rand:uniform(2000), self(), tick),
                        receive tick -> Self ! ticked end
                end) || _ <- lists:seq(1, Count)],
    [receive ticked -> ok after 60000 -> error(timer_lost) end || _ <- lists:seq(1, Count)],
    ok.

ets_storm() ->
    Table = ets:new(storm, [public, {write_concurrency, true}, {read_concurrency, true}]),
    Workers = erlang:system_info(schedulers) * 2,
    parallel(Workers,
             fun(W) ->
                     [begin
                          ets:insert(Table, {{W, N}, N}),
                          [{_, N}] = ets:lookup(Table, {W, N}),
                          ets:update_counter(Table, total, 1, {total, 0})
                      end || N <- lists:seq(1, 5000)]
             end),
    Total = Workers * 5000,
    [{total, Total}] = ets:lookup(Table, total),
    true = ets:info(Table, size) =:= Total + 1,
    true = ets:delete(Table),
    ok.

message_storm() ->
    Schedulers = erlang:system_info(schedulers),
    Echoes = [spawn_link(fun echo/0) || _ <- lists:seq(1, Schedulers * 4)],
    parallel(Schedulers * 4,
             fun(_) ->
                     [begin
                          [E ! {self(), N} || E <- Echoes],
                          [receive {E, N} -> ok after 60000 -> error(lost) end || E <- Echoes]
                      end || N <- lists:seq(1, 50)]
             end),
    [E ! stop || E <- Echoes],
    ok.

echo() ->
    receive
        {From, Term} -> From ! {self(), Term}, echo();
        stop -> ok
    end.

parallel(Count, Fun) ->
    Refs = [spawn_monitor(fun() -> Fun(N) end) || N <- lists:seq(1, Count)],
    [receive
         {'DOWN', Ref, process, Pid, normal} -> ok;
         {'DOWN', Ref, process, Pid, Reason} -> error(Reason)
     after 120000 -> error(slow)
     end || {Pid, Ref} <- Refs].

ring() ->
    Self = self(),
    First = lists:foldl(fun(_, Next) -> spawn_link(fun() -> forward(Next) end) end,
                        Self, lists:seq(1, 1000)),
    [begin First ! N, receive N -> ok after 60000 -> error(ring) end end || N <- lists:seq(1, 50)],
    First ! stop,
    receive stop -> ok after 60000 -> error(ring) end.

forward(Next) ->
    receive
        stop -> Next ! stop;
        Term -> Next ! Term, forward(Next)
    end.

binaries() ->
    [begin
         Part = binary:copy(<<N:32>>, 250000),
         1000000 = byte_size(Part),
         true = binary:last(Part) =:= N band 255
     end || N <- lists:seq(1, 100)],
    true = erlang:garbage_collect(),
    ok.

os_mon() ->
    {ok, _} = application:ensure_all_started(os_mon),
    {Total, _, _} = memsup:get_memory_data(),
    true = Total > 0,
    true = is_integer(cpu_sup:nprocs()),
    true = is_integer(cpu_sup:avg1()),
    true = is_list(disksup:get_disk_data()),
    ok = application:stop(os_mon).

%% A server for the TCP tests. Every connection says what it wants in its
%% first byte: $e echo, $u upload (answers with the MD5), $d download
%% (64 bits of length, then that much of a known sequence).

serve(Port, Acceptors) ->
    {ok, L} = gen_tcp:listen(Port, [binary, inet6, {ipv6_v6only, false}, {active, false},
                                    {reuseaddr, true}, {backlog, 1024}, {nodelay, true}]),
    Owner = spawn(fun() ->
                          receive {go, Socket} -> ok end,
                          [spawn_link(fun() -> accept(Socket) end)
                           || _ <- lists:seq(1, Acceptors)],
                          receive stop -> gen_tcp:close(Socket), exit(shutdown) end
                  end),
    ok = gen_tcp:controlling_process(L, Owner),
    Owner ! {go, L},
    register(hf_server, Owner),
    ok.

stop(_) ->
    hf_server ! stop,
    ok.

accept(L) ->
    case gen_tcp:accept(L) of
        {ok, S} ->
            Pid = spawn(fun() -> receive go -> serve_one(S) end end),
            _ = gen_tcp:controlling_process(S, Pid),
            Pid ! go,
            accept(L);
        {error, closed} -> ok;
        {error, _} -> timer:sleep(10), accept(L)
    end.

serve_one(S) ->
    case gen_tcp:recv(S, 1) of
        {ok, <<"e">>} -> echo_socket(S);
        {ok, <<"u">>} -> upload(S);
        {ok, <<"d">>} -> download(S);
        _ -> gen_tcp:close(S)
    end.

echo_socket(S) ->
    case gen_tcp:recv(S, 0) of
        {ok, Data} -> _ = gen_tcp:send(S, Data), echo_socket(S);
        {error, _} -> gen_tcp:close(S)
    end.

upload(S) ->
    {ok, <<Size:64>>} = gen_tcp:recv(S, 8),
    Sum = upload(S, Size, erlang:md5_init()),
    ok = gen_tcp:send(S, Sum),
    gen_tcp:close(S).

upload(_S, 0, Context) ->
    erlang:md5_final(Context);
upload(S, Left, Context) ->
    {ok, Data} = gen_tcp:recv(S, min(Left, 65536)),
    upload(S, Left - byte_size(Data), erlang:md5_update(Context, Data)).

download(S) ->
    {ok, <<Size:64>>} = gen_tcp:recv(S, 8),
    Block = << <<(N * 2654435761 rem 251)>> || N <- lists:seq(0, 65535) >>,
    download(S, Block, Size),
    gen_tcp:close(S).

download(_S, _Block, 0) ->
    ok;
download(S, Block, Left) ->
    Size = min(Left, byte_size(Block)),
    ok = gen_tcp:send(S, binary:part(Block, 0, Size)),
    download(S, Block, Left - Size).
