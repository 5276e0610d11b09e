#!/bin/sh
# Pins every dependency with its hashes: all of them in requirements.lock, and of these in deploy/locks what the
# image of each service installs. No file names an index.
set -eu
UV=${1:?usage: lock.sh UV}
compile() { "$UV" pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header "$@"; }

compile --extra dev pyproject.toml -o requirements.lock
for service in router worker-llamacpp worker-openai feedback energy; do
  compile --no-annotate -c requirements.lock --extra "$service" --extra telemetry pyproject.toml -o "deploy/locks/$service.lock"
done
printf 'hatchling\npip\nsetuptools\n' | compile --no-annotate -c requirements.lock - -o deploy/locks/build.lock
