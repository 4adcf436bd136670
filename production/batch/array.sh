# One job of an array. Before this text stands   rp_manifest='…' rp_array=$JOB_ID rp_index=$SGE_TASK_ID rp_join=.
# (or what Slurm calls these), behind it wrapper.sh: together they are the script that is submitted, so that a node
# needs nothing of ours but the manifest.
#
# Takes this job's line of the manifest (format: array.py), opens the run's own logs, sets its environment, and leaves
# wrapper.sh its arguments. Exit 75: there is no such line, or the logs can't be opened: nothing was run.

rp_job=$rp_array$rp_join$rp_index
rp_newline='
'
# sed, because sh reads a file byte by byte: the last line of a thousand would cost half a second
rp_line=$(LC_ALL=C sed -n "${rp_index}{p;q;}" "$rp_manifest") && [ -n "$rp_line" ] || exit 75
# words that shlex.quote has made, and $rp_newline
eval "set -- $rp_line"

if [ "$2" = "$3" ]; then
    { exec </dev/null >>"$2" 2>&1; } || exit 75
else
    { exec </dev/null >>"$2" 2>>"$3"; } || exit 75
fi
export "RUN_PRODUCTION_MARK=$1"
shift 3
while [ "$1" != -- ]; do
    export "$1"
    shift
done
shift
