%% A TCP responder: every connection gets a line from an Erlang process of
%% its own. Listens on one port for IPv4 and IPv6 with a few acceptors.
-module(holdfast_demo).

-export([start_link/0, init/1]).

-define(ACCEPTORS, 4).

start_link() ->
    proc_lib:start_link(?MODULE, init, [self()]).

init(Parent) ->
    register(?MODULE, self()),
    {ok, Port} = application:get_env(holdfast, demo_port),
    case listen(Port) of
        {ok, Socket} ->
            [spawn_link(fun() -> accept(Socket) end) || _ <- lists:seq(1, ?ACCEPTORS)],
            proc_lib:init_ack(Parent, {ok, self()}),
            receive stop -> ok end;
        {error, Reason} ->
            proc_lib:init_ack(Parent, {error, {listen, Port, Reason}})
    end.

%% One IPv6 socket that takes IPv4 too; plain IPv4 where there is no IPv6.
listen(Port) ->
    Options = [binary, {active, false}, {reuseaddr, true}, {backlog, 1024}],
    case gen_tcp:listen(Port, [inet6, {ipv6_v6only, false} | Options]) of
        {ok, Socket} -> {ok, Socket};
        {error, _} -> gen_tcp:listen(Port, [inet | Options])
    end.

accept(Listen) ->
    case gen_tcp:accept(Listen) of
        {ok, Socket} ->
            Pid = spawn(fun() -> receive go -> answer(Socket) end end),
            ok = gen_tcp:controlling_process(Socket, Pid),
            Pid ! go,
            accept(Listen);
        {error, Reason} when Reason =:= emfile; Reason =:= enfile;
                             Reason =:= econnaborted ->
            timer:sleep(50),
            accept(Listen);
        {error, Reason} ->
            exit(Reason)
    end.

answer(Socket) ->
    Line = io_lib:format("Hello from Erlang/OTP ~s, process ~p on ~b schedulers~n",
                         [erlang:system_info(otp_release), self(),
                          erlang:system_info(schedulers_online)]),
    _ = gen_tcp:send(Socket, Line),
    _ = gen_tcp:shutdown(Socket, write),
    _ = gen_tcp:recv(Socket, 0, 1000),
    gen_tcp:close(Socket).
