# Completion of musterd for bash. Made from the command line itself by `cargo test --test documents`.
# shellcheck shell=bash

_musterd() {
    local at word name place=musterd value='' kind='' words='' verbs='' options=''
    local current=${COMP_WORDS[COMP_CWORD]}
    local -a socket=()
    COMPREPLY=()
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        case "$place $word" in
            'musterd -c' | 'musterd --config' | 'musterd --only' | 'musterd --without' | 'musterd --set' | 'musterd --socket' | 'musterd --log-level' | 'musterd --main' | 'musterd check -c' | 'musterd check --config' | 'musterd check --only' | 'musterd check --without' | 'musterd check --set' | 'musterd check --socket' | 'musterd check --log-level' | 'musterd check --main' | 'musterd plan -c' | 'musterd plan --config' | 'musterd plan --only' | 'musterd plan --without' | 'musterd plan --set' | 'musterd plan --socket' | 'musterd plan --log-level' | 'musterd plan --main' | 'musterd ctl --socket' | 'musterd ctl status --socket' | 'musterd ctl why --socket' | 'musterd ctl events --socket' | 'musterd ctl health --socket' | 'musterd ctl start --timeout' | 'musterd ctl start --socket' | 'musterd ctl stop --timeout' | 'musterd ctl stop --socket' | 'musterd ctl restart --timeout' | 'musterd ctl restart --socket' | 'musterd ctl reload --timeout' | 'musterd ctl reload --socket' | 'musterd ctl signal --socket' | 'musterd ctl check --timeout' | 'musterd ctl check --socket' | 'musterd ctl logs -n' | 'musterd ctl logs --lines' | 'musterd ctl logs --since' | 'musterd ctl logs --socket' | 'musterd ctl reopen --socket' | 'musterd ctl log-level --socket' | 'musterd ctl shutdown --socket' | 'musterd probe --timeout' | 'musterd probe --status' | 'musterd ctl signal _ --socket')
                ((++at == COMP_CWORD)) && value="$place $word"
                [[ $word == --socket ]] && socket=(--socket "${COMP_WORDS[at]}") ;;
            'musterd check' | 'musterd plan' | 'musterd ctl' | 'musterd ctl status' | 'musterd ctl why' | 'musterd ctl events' | 'musterd ctl health' | 'musterd ctl start' | 'musterd ctl stop' | 'musterd ctl restart' | 'musterd ctl reload' | 'musterd ctl signal' | 'musterd ctl check' | 'musterd ctl logs' | 'musterd ctl reopen' | 'musterd ctl log-level' | 'musterd ctl shutdown' | 'musterd probe' | 'musterd schema')
                place="$place $word" ;;
            'musterd ctl signal -'*)  ;;
            'musterd ctl signal '*) place='musterd ctl signal _' ;;
        esac
    done
    if [[ $value ]]; then
        case $value in
            'musterd -c' | 'musterd --config') kind=files ;;
            'musterd --socket') kind=files ;;
            'musterd --log-level') kind=words; words='error warn info debug trace' ;;
            'musterd --main') kind=files ;;
            'musterd check -c' | 'musterd check --config') kind=files ;;
            'musterd check --socket') kind=files ;;
            'musterd check --log-level') kind=words; words='error warn info debug trace' ;;
            'musterd check --main') kind=files ;;
            'musterd plan -c' | 'musterd plan --config') kind=files ;;
            'musterd plan --socket') kind=files ;;
            'musterd plan --log-level') kind=words; words='error warn info debug trace' ;;
            'musterd plan --main') kind=files ;;
            'musterd ctl --socket') kind=files ;;
            'musterd ctl status --socket') kind=files ;;
            'musterd ctl why --socket') kind=files ;;
            'musterd ctl events --socket') kind=files ;;
            'musterd ctl health --socket') kind=files ;;
            'musterd ctl start --socket') kind=files ;;
            'musterd ctl stop --socket') kind=files ;;
            'musterd ctl restart --socket') kind=files ;;
            'musterd ctl reload --socket') kind=files ;;
            'musterd ctl signal --socket') kind=files ;;
            'musterd ctl check --socket') kind=files ;;
            'musterd ctl logs --socket') kind=files ;;
            'musterd ctl reopen --socket') kind=files ;;
            'musterd ctl log-level --socket') kind=files ;;
            'musterd ctl shutdown --socket') kind=files ;;
            'musterd ctl signal _ --socket') kind=files ;;
        esac
    else
        case $place in
            'musterd') options='-c --config --only --without --set --socket --log-level --main -h --help -V --version'; verbs='check plan ctl probe schema'; kind=files ;;
            'musterd check') options='-c --config --only --without --set --socket --log-level --main -h --help -V --version'; kind=files ;;
            'musterd plan') options='-c --config --only --without --set --socket --log-level --main --json -h --help -V --version'; kind=files ;;
            'musterd ctl') options='--socket -h --help -V --version'; verbs='status why events health start stop restart reload signal check logs reopen log-level shutdown' ;;
            'musterd ctl status') options='--json -w --watch --socket -h --help'; kind=services ;;
            'musterd ctl why') options='--json --socket -h --help'; kind=services ;;
            'musterd ctl events') options='-f --follow --json --socket -h --help'; kind=services ;;
            'musterd ctl health') options='--socket -h --help' ;;
            'musterd ctl start') options='--wait --no-wait --timeout --socket -h --help'; kind=services ;;
            'musterd ctl stop') options='--wait --no-wait --timeout --socket -h --help'; kind=services ;;
            'musterd ctl restart') options='--wait --no-wait --timeout --socket -h --help'; kind=services ;;
            'musterd ctl reload') options='--wait --no-wait --timeout --dry-run --json --socket -h --help'; kind=services ;;
            'musterd ctl signal') options='--socket -h --help'; kind=words; words='HUP INT QUIT KILL USR1 USR2 TERM CONT STOP WINCH' ;;
            'musterd ctl check') options='--timeout --json --socket -h --help'; kind=services ;;
            'musterd ctl logs') options='-f --follow -n --lines --since --json --socket -h --help'; kind=services ;;
            'musterd ctl reopen') options='--socket -h --help' ;;
            'musterd ctl log-level') options='--socket -h --help'; kind=words; words='error warn info debug trace' ;;
            'musterd ctl shutdown') options='--socket -h --help' ;;
            'musterd probe') options='--timeout --status -h --help -V --version' ;;
            'musterd schema') options='-h --help -V --version' ;;
            'musterd ctl signal _') options='--socket -h --help'; kind=services ;;
        esac
    fi
    if [[ $current == -* && ! $value ]]; then
        words=$options kind=words
    elif [[ $verbs ]]; then
        words=$verbs
        [[ $kind ]] || kind=words
    fi
    # Not `compgen -W` for names: it would expand what is in them.
    if [[ $kind == services ]]; then
        while IFS= read -r name; do
            [[ $name == "$current"* ]] && COMPREPLY+=("$(printf %q "$name")")
        done < <(musterd ctl "${socket[@]}" names 2>/dev/null)
        return
    fi
    if [[ $words ]]; then
        while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -W "$words" -- "$current")
    fi
    if [[ $kind == files ]]; then
        while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -f -- "$current")
        compopt -o filenames 2>/dev/null
    fi
}

complete -F _musterd musterd
