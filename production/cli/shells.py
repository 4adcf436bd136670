"""Completion scripts for bash, zsh and fish, from what ``completion`` has found in the parsers."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence

from production.cli import completion

Programs = dict[str, Sequence[completion.Command]]
"""{program: its commands}."""

_NAMES = {"production": ("production",), "run_production": ("run_production", "run_production.py")}
"""{program: as what people call it}."""

_BASH = """
_@program() {
    local at= taken= word= subs= opts= takers= vals= keyed= filed= known=
    local -a said
    read -r -a said <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && said+=("")
    local current=${said[${#said[@]}-1]}
    _@program_of "$at"
    for word in "${said[@]:1:${#said[@]}-2}"; do
        if [[ -n $taken ]]; then
            taken=
        elif [[ " $takers " == *" $word "* ]]; then
            taken=$word
        elif [[ " $subs " == *" $word "* ]]; then
            at=${at:+$at }$word
            _@program_of "$at"
        fi
    done
    local before=
    if [[ -z $taken && $current == --*=* ]]; then
        taken=${current%%=*} before=${current%%=*}=
    fi
    if [[ -n $taken ]]; then
        _@program_value "$at $taken"
        known=$vals
        [[ -n $vals && $current == *,* ]] && before=${current%"${current##*,}"}
    elif [[ $current == -* ]]; then
        known=$opts filed=
    elif [[ -n $keyed && $current == *:* ]]; then
        _@program_key "${current%%:*}:"
        known=$vals filed= before=${current%"${current##*[:,]}"}
    else
        known="$subs $vals $keyed"
    fi
    local IFS=$' \\n'
    COMPREPLY=($(compgen -P "$before" -W "$known" -- "${current#"$before"}"))
    if [[ -n $filed ]]; then
        local IFS=$'\\n'
        COMPREPLY+=($(compgen -P "$before" -f -- "${current#"$before"}"))
        compopt -o filenames 2>/dev/null
    fi
    [[ ${COMPREPLY[0]} == *[=:] ]] && compopt -o nospace 2>/dev/null
    # Readline replaces only what stands behind the last of its breaks.
    local breaks=
    [[ $COMP_WORDBREAKS == *:* ]] && breaks=:
    [[ $COMP_WORDBREAKS == *=* ]] && breaks+='='
    if [[ -n $breaks && $current == *[$breaks]* ]]; then
        before=${current%"${current##*[$breaks]}"}
        COMPREPLY=("${COMPREPLY[@]#"$before"}")
    fi
}
complete -F _@program @names
"""

_ZSH = """
_@program() {
    local at= taken= word= subs= opts= takers= vals= keyed= filed=
    _@program_of "$at"
    for word in "${(@)words[2,CURRENT-1]}"; do
        if [[ -n $taken ]]; then
            taken=
        elif [[ " $takers " == *" $word "* ]]; then
            taken=$word
        elif [[ " $subs " == *" $word "* ]]; then
            at=${at:+$at }$word
            _@program_of "$at"
        fi
    done
    if [[ -z $taken && $PREFIX == --*=* ]]; then
        taken=${PREFIX%%=*}
        compset -P '*='
    fi
    if [[ -n $taken ]]; then
        _@program_value "$at $taken"
        [[ -n $vals ]] && compset -P '*,'
        compadd -- ${=vals}
    elif [[ $PREFIX == -* ]]; then
        filed=
        compadd -- ${${=opts}:#*=}
        compadd -S '' -- ${(M)${=opts}:#*=}
    elif [[ -n $keyed && $PREFIX == *:* ]]; then
        _@program_key "${PREFIX%%:*}:"
        filed=
        compset -P '*[:,]'
        compadd -S '' -- ${=vals}
    else
        compadd -- ${=subs} ${=vals}
        compadd -S '' -- ${=keyed}
    fi
    [[ -n $filed ]] && _files
}
compdef _@program @names
"""


def bash(programs: Programs) -> str:
    """To be sourced, or put where bash-completion looks."""
    return _with_driver("bash", programs, _BASH)


def zsh(programs: Programs) -> str:
    """To be sourced after compinit, or put on fpath as ``_production``."""
    text = _with_driver("zsh", programs, _ZSH)
    return f"#compdef {' '.join(name for program in programs for name in _NAMES[program])}\n{text}"


def _with_driver(shell: str, programs: Programs, driver: str) -> str:
    text = f"# Completion for {shell}; made by: production completion {shell}\n"
    for program, commands in programs.items():
        text += "\n" + "\n".join(_tables(program, commands)) + "\n" + _filled(driver, program)
    return text


def _filled(driver: str, program: str) -> str:
    return driver.replace("@program", program).replace("@names", " ".join(_NAMES[program]))


def _tables(program: str, commands: Sequence[completion.Command]) -> Iterator[str]:
    """Functions that know, for both shells: by command, by option, by key of a filter."""
    yield from _function(
        f"_{program}_of",
        "subs= opts= takers= vals= keyed= filed=",
        [(" ".join(one.path), _known(one)) for one in commands],
    )
    values = [
        (f"{' '.join(one.path)} {name}", _assigned(vals=option.words, filed=["yes"] * option.files))
        for one in commands
        for option in one.options
        for name in option.names
        if option.words or option.files
    ]
    yield from _function(f"_{program}_value", "vals= filed=", values)
    yield from _function(
        f"_{program}_key", "vals=", [(key, _assigned(vals=words)) for key, words in completion.values().items()]
    )


def _function(name: str, reset: str, cases: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield f"{name}() {{"
    yield f"    {reset}"
    yield '    case "$1" in'
    yield from (f"        {shlex.quote(pattern)}) {said} ;;" for pattern, said in cases if said)
    yield "    esac"
    yield "}"


def _known(command: completion.Command) -> str:
    names = [
        name + "=" * (option.takes and name.startswith("--")) for option in command.options for name in option.names
    ]
    return _assigned(
        subs=command.commands,
        opts=names,
        takers=[name for option in command.options if option.takes for name in option.names],
        vals=command.words,
        keyed=completion.keys() if command.keys else (),
        filed=["yes"] * command.files,
    )


def _assigned(**variables: Sequence[str]) -> str:
    return " ".join(f"{name}={shlex.quote(' '.join(words))}" for name, words in variables.items() if words)


def fish(programs: Programs) -> str:
    """To be sourced, or put into ``~/.config/fish/completions``."""
    lines = ["# Completion for fish; made by: production completion fish"]
    for program, commands in programs.items():
        for name in _NAMES[program]:
            lines.append(f"complete -c {name} -f")
            for command in commands:
                lines += _fish(name, command, {one.path: one.help for one in commands})
    return "\n".join(lines) + "\n"


def _fish(program: str, command: completion.Command, helps: dict[tuple[str, ...], str]) -> Iterator[str]:
    seen = [f"__fish_seen_subcommand_from {word}" for word in command.path]
    if command.commands:
        seen.append(f"not __fish_seen_subcommand_from {' '.join(command.commands)}")
    begin = f"complete -c {program}" + (f" -n {shlex.quote('; and '.join(seen))}" if seen else "")
    for name in command.commands:
        yield f"{begin} -a {name}{_described(helps[(*command.path, name)])}"
    for option in command.options:
        yield f"{begin} {' '.join(_fish_option(option))}{_described(option.help)}"
    if command.words:
        yield f"{begin} -a {shlex.quote(' '.join(command.words))}"
    if command.keys:
        whole = [key + word for key, words in completion.values().items() for word in words]
        yield f"{begin} -a {shlex.quote(' '.join([*completion.keys(), *whole]))}"
    if command.files:
        yield f"{begin} -F"


def _fish_option(option: completion.Option) -> Iterator[str]:
    yield from (f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    if option.takes:
        yield "-r"
        yield "-F" if option.files else "-f"
    if option.words:
        yield f"-a {shlex.quote(' '.join(option.words))}"


def _described(text: str) -> str:
    return " -d '" + text.replace("\\", "\\\\").replace("'", "\\'") + "'" if text else ""


SHELLS: dict[str, Callable[[Programs], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
"""By their names."""
