PYTHON ?= python3
BIN = .venv/bin
# uv takes a fifth of pip's time. It does not read pip's configuration: where it finds nothing, pip is asked.
INSTALL = install() { $(BIN)/uv pip install -q -p $(BIN)/python "$$@" || $(BIN)/python -m pip install -q "$$@"; }; install
SOUND ?= examples/wake_word/alexa.wav
# How much `make trust` tries; a night tries a part of it, and other networks each night.
NETWORKS ?= 10000
FIRST ?= 0
EVERY ?= 1
MINUTES ?= 30
A_NIGHT = NETWORKS=2000 FIRST=$$(($$(date +%-j) * 2000)) EVERY=4 MINUTES=10

# Tests start many commands: modules are kept compiled, whatever the machine says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: benchmarks large docs page quickstart wake_word wake_word_compiled wake_word_cpp wake_word_page web prepared tools test nightly trust fuzz fuzz-models fuzz-files real exporters targets zoo battery wheel floor clean

quickstart: .venv/.installed
	$(INSTALL) -e '.[openvino,tract]'
	$(BIN)/python examples/quickstart.py

page: .venv/.installed
	$(BIN)/graphc compile examples/page.yaml
	rm -rf out/page
	$(BIN)/graphc client out/codec.onnx --language web -o out/page
	npm start --silent --prefix out/page -- $(PORT)

wake_word: wake_word_compiled
	$(BIN)/graphc-stream out/alexa $(SOUND)

wake_word_cpp: wake_word_compiled
	rm -rf out/alexa_cpp
	$(BIN)/graphc client out/alexa --language cpp -o out/alexa_cpp
	$(MAKE) --silent -C out/alexa_cpp run FILE=$(abspath $(SOUND))

wake_word_page: wake_word_compiled
	rm -rf out/alexa_page
	$(BIN)/graphc client out/alexa --language web -o out/alexa_page
	npm start --silent --prefix out/alexa_page -- $(PORT)

wake_word_compiled: .venv/.installed
	$(BIN)/python examples/wake_word/fetch.py
	$(BIN)/graphc compile examples/wake_word/alexa.yaml

test: prepared
	$(BIN)/ruff check src passes clients tests examples benchmarks zoo
	$(BIN)/python -m pytest -n 2 --dist loadgroup

nightly: tools prepared
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m nightly
	GRAPHC_PROFILE=nightly $(BIN)/python -m pytest -n 2 --dist loadgroup tests/stream/test_promise.py
	$(MAKE) docs real exporters targets wheel floor
	$(MAKE) trust $(A_NIGHT)

# Programs from Debian that the long tests run: asked for first, not after an hour.
tools:
	@for program in espeak-ng qemu-x86_64; do command -v $$program > /dev/null \
		|| { echo "$$program is missing: apt-get install espeak-ng qemu-user" >&2; exit 1; }; done

trust: .venv/.tested
	$(BIN)/python tests/other_machine.py
	$(BIN)/python tests/many_networks.py --networks $(NETWORKS) --first $(FIRST)
	$(BIN)/python tests/battery.py --every $(EVERY)
	$(BIN)/python tests/mutants.py
	$(BIN)/python tests/faults.py
	$(MAKE) fuzz

fuzz: .venv/.tested
	$(INSTALL) -e '.[fuzz]'
	$(MAKE) -j2 --output-sync=target fuzz-models fuzz-files

fuzz-models:
	$(BIN)/python tests/fuzz/fuzz.py model --minutes $(MINUTES)

fuzz-files:
	$(BIN)/python tests/fuzz/fuzz.py spec --minutes $$(($(MINUTES) * 2 / 3))
	$(BIN)/python tests/fuzz/fuzz.py manifest --minutes $$(($(MINUTES) / 6))
	$(BIN)/python tests/fuzz/fuzz.py arrays --minutes $$(($(MINUTES) / 6))

docs: .venv/.installed
	$(INSTALL) -e '.[docs]'
	$(BIN)/mkdocs build --strict

real: .venv/.tested
	$(BIN)/python examples/real/run.py
	$(BIN)/python examples/real/quantized_vad.py

exporters: .venv/.tested
	rm -rf out/exporters out/keras out/jax out/paddle && mkdir -p out/exporters
	python3 -m venv out/keras && out/keras/bin/pip install -q tensorflow-cpu tf2onnx
	python3 -m venv out/jax && out/jax/bin/pip install -q jax2onnx flax
	python3 -m venv out/paddle && out/paddle/bin/pip install -q paddlepaddle paddle2onnx packaging
	out/keras/bin/python examples/export_keras.py out/exporters
	out/jax/bin/python examples/export_jax.py out/exporters
	out/paddle/bin/python examples/export_paddle.py out/exporters
	$(BIN)/python tests/exporters.py out/exporters

targets: .venv/.tested
	$(INSTALL) -e '.[litert,mnn,executorch,coreml]'
	$(BIN)/python benchmarks/targets.py

zoo: .venv/.tested
	$(BIN)/python -m zoo --page

benchmarks: .venv/.tested
	$(INSTALL) -e '.[bench,litert,mnn,openvino,tract]'
	$(BIN)/python benchmarks/fusion.py --profile
	$(BIN)/python benchmarks/streaming_twin.py
	$(BIN)/python benchmarks/long_stream.py
	$(BIN)/python benchmarks/lifting.py
	$(BIN)/python benchmarks/revisions.py --networks 1000
	$(BIN)/python benchmarks/quantization.py
	$(BIN)/python benchmarks/conformer_on_targets.py
	$(BIN)/python benchmarks/clients.py
	$(BIN)/python benchmarks/large/many_streams.py
	$(BIN)/python benchmarks/large/sweeps.py
	$(MAKE) large

large: .venv/.tested
	$(PYTHON) -m venv out/mobius && out/mobius/bin/pip install -q mobius-onnx==0.1.0
	out/mobius/bin/python benchmarks/large/export_nemotron.py out/nemotron
	$(BIN)/python benchmarks/large/large_model.py out/nemotron

battery: .venv/.tested
	$(BIN)/python tests/battery.py

wheel:
	$(PYTHON) tests/check_wheel.py

floor:
	$(PYTHON) tests/check_floor.py

# Both at once: one waits for PyPI, the other for npm.
prepared:
	@$(MAKE) --no-print-directory -j2 .venv/.tested web

.venv/.made:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q uv || echo "uv is not to be had: pip installs"
	touch $@

.venv/.installed: .venv/.made pyproject.toml
	$(INSTALL) -e .
	touch $@

.venv/.tested: .venv/.made pyproject.toml
	$(INSTALL) -e '.[test]'
	touch .venv/.installed $@

# What the tests of the web client need, where there is node; they say so where there is none.
web: clients/web/node_modules/.made

clients/web/node_modules/.made: clients/web/package.json
	if command -v npm >/dev/null && (cd clients/web && npm install --silent --no-fund --no-audit --no-package-lock); \
	then touch $@; else echo "npm is not here, or installs nothing: the tests of the web client are skipped"; fi

clean:
	rm -rf clients/web/node_modules .venv out build dist *.egg-info
