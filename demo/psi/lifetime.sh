#!/bin/sh
#$ -S /bin/sh
#$ -l h_rt=00:10:00
#
# lifetime.sh RUN INPUT TREE HIST: unpack one muon run and fit the lifetime

run=$1
input=$2
tree=$3
hist=$4
here=${LIFETIME_HOME:-$(dirname "$0")}

# one core was asked for
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

echo "Analysing run $run on $(hostname)"
echo "  input $input"
echo "  tree  $tree"
echo "  hist  $hist"

"${PYTHON:-python3}" "$here/lifetime.py" "$input" "$tree" "$hist"
status=$?

echo "Done with run $run, exit code $status"
exit $status
