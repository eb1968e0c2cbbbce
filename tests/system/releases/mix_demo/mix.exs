defmodule MixDemo.MixProject do
  use Mix.Project

  def project do
    [
      app: :mix_demo,
      version: "0.1.0",
      elixir: "~> 1.14",
      start_permanent: true,
      deps: []
    ]
  end

  def application do
    [extra_applications: [:logger, :crypto], mod: {MixDemo.Application, []}]
  end
end
