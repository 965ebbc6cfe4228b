#!/usr/bin/env bash
# All that a GPU has to show, in one go and in this order: tests marked gpu, speeds, and phantom's study against the published
# tables of the CPU. For a machine without network: it downloads nothing. What is not installed there is taken from wheels in
# $WHEELS (`pip download --dest wheels --no-deps NAME ...` where there is a network; torch and torchvision are the machine's own).
#
#   bash benchmarks/gpu_session.sh              about ten minutes; logs and numbers go to $OUT, work/gpu by default
#   PARTS="tests device" bash benchmarks/gpu_session.sh
#   WORKERS=4 bash benchmarks/gpu_session.sh    so many runs of the study side by side on the GPU
#
# Each part has a limit of time and is told when it failed; the others go on. The exit status is the number of parts that failed.
set -u
cd "$(dirname "$0")/.." || exit 9
PARTS=${PARTS:-"tests device study"}
OUT=${OUT:-work/gpu}
WHEELS=${WHEELS:-wheels}
PYTHON=$(command -v python || command -v python3) || { echo "no python and no python3 here"; exit 9; }
export PYTHON
mkdir -p "$OUT"
if compgen -G "$WHEELS/*.whl" >/dev/null; then
    "$PYTHON" -m pip install --quiet --no-index --no-deps --upgrade --target data/gpu-site "$WHEELS"/*.whl || exit 9
fi
export PYTHONPATH="$PWD:$PWD/data/gpu-site${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS=1 PIP_NO_INDEX=1 HF_HUB_OFFLINE=1
"$PYTHON" benchmarks/missing.py || exit 9
"$PYTHON" - <<'CARD'
import torch
print("torch", torch.__version__, "|", torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU: the tests skip")
CARD
if [ -n "${WORKERS:-}" ]; then
    sed -i "s/^  workers: auto/  workers: $WORKERS/" params.yaml
fi

wanted() { case " $PARTS " in *" $1 "*) ;; *) return 1 ;; esac; }

# What the study prepares on the CPU, meanwhile: the pipeline's first stages, without DVC.
preparing=
if wanted study; then
    (
        "$PYTHON" -m fetalkit fetch phantom && for notebook in 01_cohort 02_images 03_splits; do
            "$PYTHON" -m fetalkit run "$notebook" --cohort phantom || exit 1
        done
    ) >"$OUT/prepare.log" 2>&1 &
    preparing=$!
fi

failed=0
part() { # name, limit in seconds, command
    wanted "$1" || return
    local began=$SECONDS
    timeout --kill-after=10 "$2" bash -c "$3" >"$OUT/$1.log" 2>&1
    local status=$?
    [ $status -eq 0 ] || failed=$((failed + 1))
    [ $status -eq 124 ] && echo "$1: stopped after its limit of $2 s"
    echo "== $1: exit status $status after $((SECONDS - began)) s; the end of $OUT/$1.log:"
    tail -n 25 "$OUT/$1.log"
}

part tests 150 "'$PYTHON' -m pytest -p no:cacheprovider -q -m gpu tests/test_gpu.py"
part device 240 "'$PYTHON' benchmarks/device.py --out '$OUT/device.json'"
if [ -n "$preparing" ] && ! wait "$preparing"; then
    echo "the study's first stages failed; the end of $OUT/prepare.log:"
    tail -n 5 "$OUT/prepare.log"
fi
# Fidelity and transfer (06, 08) take as long again and are left out.
part study 300 'for notebook in 04_generator 05_synthesis 07_classify; do
    "$PYTHON" -m fetalkit run "$notebook" --cohort phantom || exit 1
done
"$PYTHON" benchmarks/against_published.py phantom'
cp -r data/phantom/timings data/phantom/classify "$OUT" 2>/dev/null
exit $failed
