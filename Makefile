# make demo    a real clip through the pipeline: annotated videos, motion in space, a results file, a timeline
# make test    lint, types and tests
# make clean   away with everything that these made, the cache of weights excepted
#
# PYTHON=python3.12 chooses the interpreter. Both work in .venv and need nothing but Python and a package index.

PYTHON = python3
BIN = .venv/bin
RESULTS = demo-results

.PHONY: demo test clean

demo: .venv/installed
	@mkdir -p $(RESULTS)
	clip=$$($(BIN)/bodystream models path sports2d-demo) && \
	$(BIN)/bodystream run "$$clip" --overwrite \
		-o $(RESULTS)/demo.mp4 -o $(RESULTS)/demo.jsonl -o $(RESULTS)/demo.trace.json
	$(BIN)/bodystream convert $(RESULTS)/demo.jsonl --overwrite \
		-o $(RESULTS)/jersey.mp4 --texture jersey -o $(RESULTS)/demo.glb --mesh -o $(RESULTS)/demo.bvh
	@echo "The results are in $(RESULTS)/: demo.mp4 and jersey.mp4 (watch them: the parts of everybody's body"
	@echo "surface, and a texture painted onto it), demo.glb and demo.1.bvh, demo.2.bvh ... (everybody's motion in"
	@echo "space, for Blender and the like), demo.jsonl (people, masks, landmarks, surface and pose of every frame),"
	@echo "demo.trace.json (the timeline; load it into a trace viewer)."

# ruff and mypy run as tests: tests/unit/test_types.py
test: .venv/installed-dev
	$(BIN)/python -m pytest

clean:
	rm -rf .venv build $(RESULTS) *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: .venv/made pyproject.toml
	$(BIN)/python -m pip install --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --editable '.[dev]'
	@touch $@

.venv/made:
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 15) or sys.exit("bodystream needs Python 3.11 to 3.14 and found " + sys.version.split()[0] + ": give another one, make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	@touch $@
