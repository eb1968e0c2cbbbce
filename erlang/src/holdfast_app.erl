%% The OTP application: one supervisor over the demo and who tells of resumes.
-module(holdfast_app).

-behaviour(application).
-behaviour(supervisor).

-export([start/2, stop/1, init/1]).

start(_Type, _Args) ->
    supervisor:start_link({local, holdfast_sup}, ?MODULE, []).

stop(_State) ->
    ok.

init([]) ->
    Demo = #{id => holdfast_demo,
             start => {holdfast_demo, start_link, []}},
    Resume = #{id => holdfast_resume,
               start => {holdfast_resume, start_link, []}},
    {ok, {#{strategy => one_for_one}, [Resume, Demo]}}.
