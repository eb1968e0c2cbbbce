%% How many ticks of timer:send_interval come in the first moments after a resume.
-module(hf_ticks).

-export([start/1, after_resume/0]).

-define(WINDOW_MS, 100).

start(PeriodMs) ->
    Caller = self(),
    Pid = spawn(fun() ->
                    ok = holdfast:subscribe(),
                    {ok, _} = timer:send_interval(PeriodMs, tick),
                    register(?MODULE, self()),
                    Caller ! {?MODULE, ready},
                    count(0, 0, none)
                end),
    receive {?MODULE, ready} -> Pid end.

%% Waits until there was a resume and its window is over.
after_resume() ->
    ?MODULE ! {self(), tell},
    receive {?MODULE, Ticks} -> Ticks end.

count(N, Mark, Result) ->
    receive
        tick -> count(N + 1, Mark, Result);
        {holdfast, resumed, _} ->
            erlang:send_after(?WINDOW_MS, self(), over),
            count(N, N, none);
        over -> count(N, Mark, N - Mark);
        {From, tell} when Result =/= none ->
            From ! {?MODULE, Result},
            count(N, Mark, Result)
    end.
