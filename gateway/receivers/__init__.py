"""Where exchanges come from: `llm` takes calls on the proxy port."""
