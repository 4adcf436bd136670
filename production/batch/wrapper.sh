# One job: /bin/sh wrapper.sh TICKET WITNESS DIRECTORY [SCRATCH...] -- SCRIPT [ARGUMENT...]
#
# Runs SCRIPT in DIRECTORY, once, while TICKET exists, and says in WITNESS how that went (format: witness.py).
# Exit: the script's; 98 if that was 99 or 100 (to Grid Engine they mean "again" and "hold"); 75 if the script wasn't
# run, or lost its ticket meanwhile. 126: the directory can't be entered or a scratch directory emptied.
#
# POSIX sh, and builtins only but for the script: a fork more would cost every job a third of what the wrapper does.
# No name here is exported, all begin with rp_: the script's environment is what the batch system gave.
#
# On clusters array.sh stands before this text in one script, and has set the arguments, and rp_job to the job's id.

rp_ticket=$1 rp_witness=$2 rp_directory=$3
shift 3
[ -e "$rp_ticket" ] || exit 75

rp_start_ticks() { rp_ticks=${20}; }

rp_empty() { # a directory; forks only if there is something in it
    case $1 in /?*) ;; *) return 1 ;; esac
    for rp_entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -e "$rp_entry" ] || [ -L "$rp_entry" ]; then
            find "$1/." ! -name . -prune -exec rm -rf -- {} +
            return
        fi
    done
}

rp_host=- rp_boot=- rp_ticks=- rp_uptime=-
if [ -r "/proc/$$/stat" ]; then
    read -r rp_host </proc/sys/kernel/hostname
    read -r rp_boot </proc/sys/kernel/random/boot_id
    read -r rp_stat <"/proc/$$/stat"
    # a command's name may hold anything, even ") ": what follows the last one are field 3 and on
    rp_start_ticks ${rp_stat##*) }
    read -r rp_uptime rp_rest </proc/uptime
fi

# Whoever takes the ticket back looks for the witness afterwards; we write the witness and look for the ticket
# afterwards. So one of us two sees the other. Of two copies of this job only one can make the witness.
set -C
printf 'start %s %s %s %s %s%s\n' "$rp_host" "$rp_boot" "$$" "$rp_ticks" "$rp_uptime" "${rp_job:+ $rp_job}" \
    >"$rp_witness" || exit 75
set +C
# opened, not tested: a network file system answers "is it there" from memory, and opens at the server
if ! true <"$rp_ticket"; then
    printf 'revoked\n' >>"$rp_witness"
    exit 75
fi

rp_status=0
while [ "$1" != -- ]; do
    rp_empty "$1" || rp_status=126
    shift
done
shift
cd -- "$rp_directory" || rp_status=126

# Job scripts are often not executable, as Grid Engine doesn't mind: then what their first line names runs them.
if [ -f "$1" ] && [ ! -x "$1" ]; then
    rp_line=
    read -r rp_line <"$1"
    case $rp_line in
        '#!'*) set -f; set -- ${rp_line#??} "$@"; set +f ;;
        *) set -- /bin/sh "$@" ;;
    esac
fi

# Here, in the foreground: in the background sh would take INT and QUIT away from the script for good, and fork instead of
# vfork. So a signal to the whole group ends the script, and we live to say so; one to this process alone waits for
# the script's end.
# On a cluster, in the background: Slurm signals this process alone, and kills the rest half a minute later. What
# comes is handed on; env gives INT and QUIT back where it can (coreutils 8.31).
trap : HUP INT QUIT USR1 USR2 TERM XCPU
if [ "$rp_status" = 0 ] && [ -z "$rp_job" ]; then
    "$@"
    rp_status=$?
elif [ "$rp_status" = 0 ]; then
    if env --default-signal=INT,QUIT true 2>/dev/null; then
        set -- env --default-signal=INT,QUIT sh -c 'exec "$@"' sh "$@"
    fi
    rp_early=
    for rp_signal in HUP INT QUIT USR1 USR2 TERM XCPU; do
        trap "rp_early=\"\$rp_early $rp_signal\"" "$rp_signal"
    done
    "$@" &
    rp_child=$!
    for rp_signal in HUP INT QUIT USR1 USR2 TERM XCPU; do
        trap "rp_again=1; kill -$rp_signal $rp_child" "$rp_signal"
    done
    for rp_signal in $rp_early; do # came before there was anybody to hand it to
        kill "-$rp_signal" "$rp_child"
    done
    rp_before=
    while :; do # a signal ends the wait, not the script; 127: that wait was the last after all
        rp_again=
        wait "$rp_child"
        rp_code=$?
        [ "$rp_before$rp_code" = again127 ] || rp_status=$rp_code
        [ -n "$rp_again" ] && [ "$rp_code" -gt 128 ] || break
        rp_before=again
    done 2>/dev/null
fi

[ "$rp_uptime" = - ] || read -r rp_uptime rp_rest </proc/uptime
[ -e "$rp_ticket" ] || exit 75
{ times; printf 'end %s %s\n' "$rp_status" "$rp_uptime"; } >>"$rp_witness"
case $rp_status in 99 | 100) exit 98 ;; esac
exit "$rp_status"
