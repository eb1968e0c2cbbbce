%% Tells subscribers of a resume: {holdfast, resumed, #{epoch, outage_ms, cause}}.
%%
%% A helper process sleeps in a read of /dev/holdfast, which returns after the next resume that
%% comes after the file was opened: nobody is told that he has subscribed before that. Before the
%% subscribers learn of it, OpenSSL's generator is fed from the kernel's, which was seeded anew:
%% two resumes of one epoch would else give the same crypto:strong_rand_bytes.
-module(holdfast_resume).

-behaviour(gen_server).

-export([start_link/0, subscribe/1, unsubscribe/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).
-export([reader/1]).

-define(DEVICE, "/dev/holdfast").
-define(LINE_BYTES, 64).
-define(SEED_BYTES, 64).

start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% Starts the server where the application does not run.
subscribe(Pid) ->
    case whereis(?MODULE) of
        undefined -> {ok, _} = gen_server:start({local, ?MODULE}, ?MODULE, [], []);
        _ -> ok
    end,
    gen_server:call(?MODULE, {subscribe, Pid}).

unsubscribe(Pid) ->
    case whereis(?MODULE) of
        undefined -> ok;
        _ -> gen_server:call(?MODULE, {unsubscribe, Pid})
    end.

init([]) ->
    Reader = case proc_lib:start_link(?MODULE, reader, [self()]) of
        {ok, Pid} -> Pid;
        {error, _} -> none
    end,
    {ok, #{reader => Reader, subscribers => #{}}}.

handle_call({subscribe, _}, _From, #{reader := none} = State) ->
    {reply, {error, no_store}, State};
handle_call({subscribe, Pid}, _From, #{subscribers := S} = State) ->
    Known = maps:is_key(Pid, S),
    New = if Known -> S; true -> S#{Pid => monitor(process, Pid)} end,
    {reply, ok, State#{subscribers := New}};
handle_call({unsubscribe, Pid}, _From, State) ->
    {reply, ok, forget(Pid, State)}.

handle_cast(_, State) ->
    {noreply, State}.

handle_info({resumed, Info}, #{subscribers := S} = State) ->
    reseed(),
    [Pid ! {holdfast, resumed, Info} || Pid <- maps:keys(S)],
    {noreply, State};
handle_info({'DOWN', _, process, Pid, _}, State) ->
    {noreply, forget(Pid, State)}.

forget(Pid, #{subscribers := S} = State) ->
    case S of
        #{Pid := Monitor} ->
            demonitor(Monitor, [flush]),
            State#{subscribers := maps:remove(Pid, S)};
        _ -> State
    end.

%% A raw file is its opener's alone.
reader(Server) ->
    case file:open(?DEVICE, [read, raw, binary]) of
        {ok, File} ->
            proc_lib:init_ack({ok, self()}),
            read(File, Server);
        {error, _} = Error ->
            proc_lib:init_ack(Error)
    end.

read(File, Server) ->
    {ok, Line} = file:read(File, ?LINE_BYTES),
    ["resumed" | Pairs] = string:lexemes(binary_to_list(Line), " \n"),
    Server ! {resumed, info(Pairs)},
    read(File, Server).

info(["epoch", N | Rest]) -> (info(Rest))#{epoch => list_to_integer(N)};
info(["outage_ms", N | Rest]) -> (info(Rest))#{outage_ms => list_to_integer(N)};
info(["cause", Word | Rest]) -> (info(Rest))#{cause => list_to_atom(Word)};
info([]) -> #{}.

%% From the kernel, past OpenSSL.
reseed() ->
    case code:is_loaded(crypto) of
        {file, _} ->
            {ok, File} = file:open("/dev/urandom", [read, raw, binary]),
            {ok, Seed} = file:read(File, ?SEED_BYTES),
            ok = file:close(File),
            crypto:rand_seed(Seed);
        false -> ok
    end.
