# Errands on the disk of the jobs, on their machine: sh -c "$(cat errands.sh)" sh VERB [PATH [BYTES]]
#
# The standard input has a line an errand, of words quoted for sh. What is said of the Nth stands on lines "N ...";
# of what went as it should nothing is said. "write" and "keep" have the content of PATH on the standard input, so many
# BYTES: a connection that broke is the end of the input, too.
#
# POSIX sh and the usual commands; LC_ALL=C is set by who calls.

rp_verb=$1 rp_path=$2 rp_bytes=$3 rp_number=0
rp_newline='
'

rp_try() { # says what a command says, if it fails
    rp_said=$("$@" 2>&1) && return
    printf '%s %s\n' "$rp_number" "$(printf '%s' "$rp_said" | tail -n 1)"
    return 1
}

rp_touch() { # a file is there
    [ -e "$1" ] || : >"$1"
}

rp_remove() { # trees, whatever a job did to them
    rm -rf -- "$@" && return
    chmod -R u+rwX -- "$@"
    rm -rf -- "$@"
}

rp_usable() { # a directory that we write into
    mkdir -p -- "$1" || return
    [ -w "$1" ] && [ -x "$1" ] || { echo "$1: may not be written by $(id -un)"; return 1; }
}

rp_said_of() { # lines of a file, each behind the errand's number; the last may lack its end
    sed "s/^/$rp_number /"
    echo
}

rp_prepare() { # WORK TICKET WITNESS DIRECTORY... -- [NAME TARGET]...
    rp_work=$1 rp_ticket=$2
    [ ! -e "$3" ] || return 0 # we are late, of a line that broke; its job has begun
    shift 3
    rp_remove "$rp_work" && mkdir -p -- "$rp_work" || return
    while [ "$1" != -- ]; do
        mkdir -p -- "$1" || return
        shift
    done
    shift
    while [ $# -gt 0 ]; do
        mkdir -p -- "${1%/*}" && ln -s -- "$2" "$1" || return
        shift 2
    done
    : >"$rp_ticket"
}

rp_revoke() { # TICKET WITNESS
    rm -f -- "$1" 2>/dev/null
    if [ -e "$1" ]; then
        echo "$rp_number forbidden"
    elif [ -s "$2" ]; then # the wrapper writes it first, and looks for the ticket afterwards
        : >"$1"
        echo "$rp_number begun"
    else
        echo "$rp_number taken"
    fi
}

rp_file() { # of a pipe nobody would ever come back
    [ -f "$1" ] && [ ! -L "$1" ]
}

rp_witness() { # FILE; what is no whole line isn't said
    rp_file "$1" || return 0
    rp_lines=0
    while [ "$rp_lines" -lt 20 ] && IFS= read -r rp_read; do
        rp_lines=$((rp_lines + 1))
        printf '%s %s\n' "$rp_number" "$rp_read"
    done <"$1"
}

rp_place() { # a file of this content, for good or not at all; one that has it already stays
    mkdir -p -- "${rp_path%/*}" && cat >"$rp_path.$$" || { rm -f -- "$rp_path.$$"; return 1; }
    if [ "$(wc -c <"$rp_path.$$")" -ne "$rp_bytes" ]; then
        rm -f -- "$rp_path.$$"
        echo "$rp_path: broke off"
        return 1
    fi
    if rp_file "$rp_path" && cmp -s -- "$rp_path.$$" "$rp_path"; then
        rm -f -- "$rp_path.$$"
        return
    fi
    chmod "$1" "$rp_path.$$" && mv -f -- "$rp_path.$$" "$rp_path"
}

rp_settle() { # a directory, made if it is absent: its true path; the account's HOME
    case $1 in '~') set -- "$HOME" ;; '~/'*) set -- "$HOME/${1#??}" ;; esac
    rp_try rp_usable "$1" || return
    printf '%s data %s\n' "$rp_number" "$(cd -- "$1" && pwd -P)"
    printf '%s home %s\n' "$rp_number" "$HOME"
}

case $rp_verb in
write) rp_try rp_place 644; exit 0 ;;
keep) rp_try rp_place 555; exit 0 ;;
witnesses) ls -- "$rp_path" >/dev/null 2>&1 ;; # a network file system asks its server what is there, at a listing
esac

while IFS= read -r rp_line; do
    rp_number=$((rp_number + 1))
    eval "set -- $rp_line"
    case $rp_verb in
    settle) rp_settle "$1" ;;
    make) rp_try rp_usable "$1" ;;
    prepare) rp_try rp_prepare "$@" ;;
    ticket) rp_try rp_touch "$1" ;;
    revoke) rp_revoke "$@" ;;
    rename) [ ! -e "$1" ] || mv -f -- "$1" "$2" 2>/dev/null ;;
    present) [ ! -e "$1" ] || echo "$rp_number" ;;
    witnesses) rp_witness "$rp_path/$1" ;;
    tail) rp_file "$1" && tail -c 2000 -- "$1" 2>/dev/null | rp_said_of ;;
    usable) [ -w "$1" ] && [ -x "$1" ] || echo "$rp_number no" ;;
    fold) rmdir -- "$1" 2>/dev/null ;;
    remove) rp_try rp_remove "$@" ;;
    names) ls -a -- "$1" 2>/dev/null | rp_said_of ;;
    marks) rp_file "$1" && sed 's/ .*//' <"$1" | rp_said_of ;;
    esac
done
exit 0
