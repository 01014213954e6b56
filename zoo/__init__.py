"""A zoo of other people's architectures: exported as their users do, compiled, streamed, and put into docs/zoo.md."""
