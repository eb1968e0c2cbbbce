%% A bank in Mnesia that answers a ledger client over TCP, for bank.py. What it has acknowledged it
%% must have after any power cut, once.
%%
%%   account   disc_copies {Number, Balance}
%%   done      disc_copies {TransferId, From, To, Amount}, so that a transfer asked for again is
%%             not made again
%%   journal   the same in a DETS table
%%   transfers the same in a disk_log
%%
%% The client's lines and what they are answered with:
%%   transfer Id From To Amount	done Id, when it is durable
%%   accounts			Number Balance, each on a line, then end
%%   done | journal | log	Id From To Amount, each on a line, then end
%%   close			closes journal and log and opens them again: closed, as neither was
%%				in need of a repair
-module(hf_bank).

-export([start/0]).

-define(PORT, 9100).
-define(FOLDER, "/root/bank").
-define(ACCOUNTS, 20).
-define(BALANCE, 1000).
-define(WAIT_MS, 120000).

start() ->
    spawn(fun bank/0).

bank() ->
    register(bank, self()),
    ok = filelib:ensure_dir(?FOLDER ++ "/mnesia/x"),
    application:set_env(mnesia, dir, ?FOLDER ++ "/mnesia"),
    open_tables(filelib:is_file(?FOLDER ++ "/mnesia/schema.DAT")),
    Keeper = spawn_link(fun keeper/0),
    register(keeper, Keeper),
    io:format("log ~w~n", [ask_keeper({open, []})]),
    catch_up(),
    Options = [binary, {packet, line}, {active, false}, {reuseaddr, true}, {nodelay, true}],
    {ok, Listener} = gen_tcp:listen(?PORT, Options),
    io:format("bank open~n"),
    accept(Listener).

open_tables(true) ->
    ok = mnesia:start(),
    ok = mnesia:wait_for_tables([account, done], ?WAIT_MS);
open_tables(false) ->
    ok = mnesia:create_schema([node()]),
    ok = mnesia:start(),
    Disc = {disc_copies, [node()]},
    {atomic, ok} = mnesia:create_table(account, [Disc]),
    {atomic, ok} = mnesia:create_table(done, [Disc, {attributes, [id, from, to, amount]}]),
    {atomic, ok} = mnesia:sync_transaction(
        fun() -> [ok = mnesia:write({account, N, ?BALANCE}) || N <- lists:seq(1, ?ACCOUNTS)], ok
        end),
    ok = mnesia:sync_log().

%% Who opens the journal and the log is their owner, and alone can close them.
keeper() ->
    receive
        {From, {open, Options}} ->
            From ! {keeper, open_files(Options)};
        {From, close} ->
            ok = dets:close(journal),
            ok = disk_log:close(transfers),
            From ! {keeper, closed}
    end,
    keeper().

ask_keeper(What) ->
    keeper ! {self(), What},
    receive {keeper, Answer} -> Answer after ?WAIT_MS -> error({keeper, What}) end.

%% `repaired' when the log had to be.
open_files(Options) ->
    {ok, journal} = dets:open_file(journal, [{keypos, 2}, {file, ?FOLDER ++ "/journal.dets"}
                                             | Options]),
    case disk_log:open([{name, transfers}, {file, ?FOLDER ++ "/transfers.log"}]) of
        {ok, transfers} -> whole;
        {repaired, transfers, _, {badbytes, _}} -> repaired
    end.

%% After a start from the files alone: what the last moment did not leave time for.
catch_up() ->
    Logged = maps:from_keys(read_log(start), true),
    Missing = [T || T <- ets:tab2list(done), not is_map_key(T, Logged)],
    [ok = disk_log:log(transfers, T) || T <- Missing],
    [ok = dets:insert(journal, T) || T <- ets:tab2list(done), not dets:member(journal, element(2, T))],
    ok = disk_log:sync(transfers),
    ok = dets:sync(journal),
    io:format("caught up with ~b~n", [length(Missing)]).

accept(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    Teller = spawn(fun() -> receive go -> serve(Socket) end end),
    ok = gen_tcp:controlling_process(Socket, Teller),
    Teller ! go,
    accept(Listener).

%% Until the client or the connection is gone.
serve(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Line} ->
            _ = gen_tcp:send(Socket, answer(string:lexemes(binary_to_list(Line), " \n"))),
            serve(Socket);
        {error, _} ->
            gen_tcp:close(Socket)
    end.

answer(["transfer" | Words]) ->
    [Id, From, To, Amount] = [list_to_integer(W) || W <- Words],
    transfer({done, Id, From, To, Amount}),
    io_lib:format("done ~b~n", [Id]);
answer(["accounts"]) ->
    lines([[N, B] || {account, N, B} <- ets:tab2list(account)]);
answer(["done"]) ->
    lines([tl(tuple_to_list(T)) || T <- ets:tab2list(done)]);
answer(["journal"]) ->
    lines(dets:foldl(fun(T, All) -> [tl(tuple_to_list(T)) | All] end, [], journal));
answer(["log"]) ->
    lines([tl(tuple_to_list(T)) || T <- read_log(start)]);
answer(["close"]) ->
    closed = ask_keeper(close),
    whole = ask_keeper({open, [{repair, false}]}),
    "closed\n".

lines(Rows) ->
    [[lists:join(" ", [integer_to_list(N) || N <- Row]), "\n"] || Row <- Rows] ++ "end\n".

read_log(From) ->
    case disk_log:chunk(transfers, From) of
        {Next, Terms} -> Terms ++ read_log(Next);
        eof -> []
    end.

%% Mnesia has the say. The journal and the log get what it has: the one who made the transfer writes
%% them, once it is durable there. Then these are made durable, also for one who asked again.
transfer({done, Id, From, To, Amount} = Transfer) ->
    {atomic, New} = mnesia:sync_transaction(
        fun() ->
            case mnesia:read(done, Id, write) of
                [] ->
                    add(From, -Amount),
                    add(To, Amount),
                    ok = mnesia:write(Transfer),
                    true;
                [Transfer] ->
                    false
            end
        end),
    ok = mnesia:sync_log(),
    New andalso note(Transfer),
    ok = disk_log:sync(transfers),
    ok = dets:sync(journal).

note(Transfer) ->
    ok = disk_log:log(transfers, Transfer),
    ok = dets:insert(journal, Transfer).

add(Number, Amount) ->
    [{account, Number, Balance}] = mnesia:read(account, Number, write),
    mnesia:write({account, Number, Balance + Amount}).
