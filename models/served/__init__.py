"""Writers and captioners behind a server that speaks the chat completions of OpenAI's API (vLLM, llama.cpp, Ollama, `transformers serve`)."""
