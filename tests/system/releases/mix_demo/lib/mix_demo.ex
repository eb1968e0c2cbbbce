defmodule MixDemo do
  @moduledoc "A counter: the smallest state that a release can be asked for."
  use GenServer

  def start_link(_), do: GenServer.start_link(__MODULE__, 0, name: __MODULE__)
  def next, do: GenServer.call(__MODULE__, :next)

  @impl true
  def init(count), do: {:ok, count}

  @impl true
  def handle_call(:next, _from, count), do: {:reply, count + 1, count + 1}
end

defmodule MixDemo.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _args) do
    children = [MixDemo, {Task, &announce/0}]
    Supervisor.start_link(children, strategy: :one_for_one)
  end

  # Until the whole system has started, its stop is not in order.
  defp announce do
    if :init.notify_when_started(self()) == :ok do
      receive do: ({:init, :started} -> :ok)
    end

    IO.puts("mix_demo is up in #{System.get_env("PLACE", "no place")}")
  end

  @impl true
  def stop(_state), do: :erlang.display(:mix_demo_stopped_in_order)
end
