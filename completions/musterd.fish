# Completion of musterd for fish. Made from the command line itself by `cargo test --test documents`.

function __musterd_proposals
    set -l tokens (commandline -opc)
    set -l current (commandline -ct)
    set -l place musterd
    set -l value
    set -l kind
    set -l choice
    set -l socket
    set -l at 2
    while test $at -le (count $tokens)
        set -l word $tokens[$at]
        switch "$place $word"
            case 'musterd -c' 'musterd --config' 'musterd --only' 'musterd --without' 'musterd --set' 'musterd --socket' 'musterd --log-level' 'musterd --main' 'musterd check -c' 'musterd check --config' 'musterd check --only' 'musterd check --without' 'musterd check --set' 'musterd check --socket' 'musterd check --log-level' 'musterd check --main' 'musterd plan -c' 'musterd plan --config' 'musterd plan --only' 'musterd plan --without' 'musterd plan --set' 'musterd plan --socket' 'musterd plan --log-level' 'musterd plan --main' 'musterd ctl --socket' 'musterd ctl status --socket' 'musterd ctl why --socket' 'musterd ctl events --socket' 'musterd ctl health --socket' 'musterd ctl start --timeout' 'musterd ctl start --socket' 'musterd ctl stop --timeout' 'musterd ctl stop --socket' 'musterd ctl restart --timeout' 'musterd ctl restart --socket' 'musterd ctl reload --timeout' 'musterd ctl reload --socket' 'musterd ctl signal --socket' 'musterd ctl check --timeout' 'musterd ctl check --socket' 'musterd ctl logs -n' 'musterd ctl logs --lines' 'musterd ctl logs --since' 'musterd ctl logs --socket' 'musterd ctl reopen --socket' 'musterd ctl log-level --socket' 'musterd ctl shutdown --socket' 'musterd probe --timeout' 'musterd probe --status' 'musterd ctl signal _ --socket'
                set at (math $at + 1)
                test $at -gt (count $tokens); and set value "$place $word"
                test $word = --socket -a -z "$value"; and set socket --socket $tokens[$at]
            case 'musterd check' 'musterd plan' 'musterd ctl' 'musterd ctl status' 'musterd ctl why' 'musterd ctl events' 'musterd ctl health' 'musterd ctl start' 'musterd ctl stop' 'musterd ctl restart' 'musterd ctl reload' 'musterd ctl signal' 'musterd ctl check' 'musterd ctl logs' 'musterd ctl reopen' 'musterd ctl log-level' 'musterd ctl shutdown' 'musterd probe' 'musterd schema'
                set place "$place $word"
            case 'musterd ctl signal -*'
                
            case 'musterd ctl signal *'
                set place 'musterd ctl signal _'
        end
        set at (math $at + 1)
    end
    if test -n "$value"
        switch $value
            case 'musterd -c' 'musterd --config'
                set kind files
            case 'musterd --socket'
                set kind files
            case 'musterd --log-level'
                set kind words
                set choice 'error warn info debug trace'
            case 'musterd --main'
                set kind files
            case 'musterd check -c' 'musterd check --config'
                set kind files
            case 'musterd check --socket'
                set kind files
            case 'musterd check --log-level'
                set kind words
                set choice 'error warn info debug trace'
            case 'musterd check --main'
                set kind files
            case 'musterd plan -c' 'musterd plan --config'
                set kind files
            case 'musterd plan --socket'
                set kind files
            case 'musterd plan --log-level'
                set kind words
                set choice 'error warn info debug trace'
            case 'musterd plan --main'
                set kind files
            case 'musterd ctl --socket'
                set kind files
            case 'musterd ctl status --socket'
                set kind files
            case 'musterd ctl why --socket'
                set kind files
            case 'musterd ctl events --socket'
                set kind files
            case 'musterd ctl health --socket'
                set kind files
            case 'musterd ctl start --socket'
                set kind files
            case 'musterd ctl stop --socket'
                set kind files
            case 'musterd ctl restart --socket'
                set kind files
            case 'musterd ctl reload --socket'
                set kind files
            case 'musterd ctl signal --socket'
                set kind files
            case 'musterd ctl check --socket'
                set kind files
            case 'musterd ctl logs --socket'
                set kind files
            case 'musterd ctl reopen --socket'
                set kind files
            case 'musterd ctl log-level --socket'
                set kind files
            case 'musterd ctl shutdown --socket'
                set kind files
            case 'musterd ctl signal _ --socket'
                set kind files
        end
    else
        switch $place
            case 'musterd'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '-c' 'Read this file, repeatable, later files win [default: /etc/musterd.toml]' '--config' 'Read this file, repeatable, later files win [default: /etc/musterd.toml]' '--only' 'Manage these of the configured services only' '--without' 'Manage the configured services without these' '--set' 'Override one value, as services.web.interval=5s, repeatable' '--socket' 'The control socket [default: musterd.sock in /run, $XDG_RUNTIME_DIR or /tmp]' '--log-level' 'The least important message told: error, warn, info, debug or trace [default: info]' '--main' 'Besides the services, run this with the terminal and stdin, all ends when it ends' '-h' 'Print help' '--help' 'Print help' '-V' 'Print version' '--version' 'Print version'
                printf '%s\t%s\n' 'check' 'Validate, print the merged configuration, with where each value is from' 'plan' 'Tell what would be adopted and what started, as things are now, starts nothing' 'ctl' 'Talk to a running manager' 'probe' 'Ask an address once whether somebody answers' 'schema' 'Print the JSON Schema of a configuration file, for editors'
                set kind files
            case 'musterd check'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '-c' 'Read this file, repeatable, later files win [default: /etc/musterd.toml]' '--config' 'Read this file, repeatable, later files win [default: /etc/musterd.toml]' '--only' 'Manage these of the configured services only' '--without' 'Manage the configured services without these' '--set' 'Override one value, as services.web.interval=5s, repeatable' '--socket' 'The control socket [default: musterd.sock in /run, $XDG_RUNTIME_DIR or /tmp]' '--log-level' 'The least important message told: error, warn, info, debug or trace [default: info]' '--main' 'Besides the services, run this with the terminal and stdin, all ends when it ends' '-h' 'Print help' '--help' 'Print help' '-V' 'Print version' '--version' 'Print version'
                set kind files
            case 'musterd plan'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '-c' 'Read this file, repeatable, later files win [default: /etc/musterd.toml]' '--config' 'Read this file, repeatable, later files win [default: /etc/musterd.toml]' '--only' 'Manage these of the configured services only' '--without' 'Manage the configured services without these' '--set' 'Override one value, as services.web.interval=5s, repeatable' '--socket' 'The control socket [default: musterd.sock in /run, $XDG_RUNTIME_DIR or /tmp]' '--log-level' 'The least important message told: error, warn, info, debug or trace [default: info]' '--main' 'Besides the services, run this with the terminal and stdin, all ends when it ends' '--json' 'Print an array of JSON objects' '-h' 'Print help' '--help' 'Print help' '-V' 'Print version' '--version' 'Print version'
                set kind files
            case 'musterd ctl'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help' '-V' 'Print version' '--version' 'Print version'
                printf '%s\t%s\n' 'status' 'Show the state of services, and why they are in it' 'why' 'Tell the story of a service: what happened to it and what was decided, with times and causes' 'events' 'Show what happened to services: each change of state with its cause' 'health' 'Tell whether all that is wanted runs and is well, for HEALTHCHECK' 'start' 'Start services, and wait until they run or cannot be started' 'stop' 'Stop services and leave them so, wait until they have stopped' 'restart' 'Stop services and start them, and wait until they run or cannot be started' 'reload' 'Make services read their own configuration anew, without names musterd its one (also: SIGHUP)' 'signal' 'Send a signal to the main process of services' 'check' 'Look at the processes and run the health checks now (a failure counts as any other), and show the state of services then' 'logs' 'Show the last lines of services, with what musterd decided about them' 'reopen' 'Open the log files anew, after somebody has renamed them (also: SIGUSR1)' 'log-level' 'Change the least important of musterd\'s own messages that is told' 'shutdown' 'Stop all services in order, and end musterd (also: SIGTERM), a second time: kill what still runs'
            case 'musterd ctl status'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '--json' 'Print an array of JSON objects' '-w' 'Show them in place, anew each second, until `q` is pressed' '--watch' 'Show them in place, anew each second, until `q` is pressed' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help'
                set kind services
            case 'musterd ctl why'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '--json' 'Print a JSON object' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help'
                set kind services
            case 'musterd ctl events'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '-f' 'Go on with what comes' '--follow' 'Go on with what comes' '--json' 'Print a JSON object a line' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help'
                set kind services
            case 'musterd ctl health'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help'
            case 'musterd ctl start'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '--wait' 'Wait until it is done (the default)' '--no-wait' 'Do not wait until it is done' '--timeout' 'Wait no longer than this, 30s for example, what was asked goes on all the same' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help'
                set kind services
            case 'musterd ctl stop'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '--wait' 'Wait until it is done (the default)' '--no-wait' 'Do not wait until it is done' '--timeout' 'Wait no longer than this, 30s for example, what was asked goes on all the same' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help'
                set kind services
            case 'musterd ctl restart'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '--wait' 'Wait until it is done (the default)' '--no-wait' 'Do not wait until it is done' '--timeout' 'Wait no longer than this, 30s for example, what was asked goes on all the same' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help'
                set kind services
            case 'musterd ctl reload'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '--wait' 'Wait until it is done (the default)' '--no-wait' 'Do not wait until it is done' '--timeout' 'Wait no longer than this, 30s for example, what was asked goes on all the same' '--dry-run' 'Only show what would change' '--json' 'Print a JSON object' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help'
                set kind services
            case 'musterd ctl signal'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help'
                set kind words
                set choice 'HUP INT QUIT KILL USR1 USR2 TERM CONT STOP WINCH'
            case 'musterd ctl check'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '--timeout' 'Wait no longer than this, 30s for example' '--json' 'Print an array of JSON objects' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help'
                set kind services
            case 'musterd ctl logs'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '-f' 'Go on with what comes' '--follow' 'Go on with what comes' '-n' 'Only the last N lines' '--lines' 'Only the last N lines' '--since' 'Only lines since then: 10m (ago), or a time as 2026-11-21T12:00:00Z' '--json' 'Print a JSON object a line' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help'
                set kind services
            case 'musterd ctl reopen'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help'
            case 'musterd ctl log-level'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help'
                set kind words
                set choice 'error warn info debug trace'
            case 'musterd ctl shutdown'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help'
            case 'musterd probe'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '--timeout' 'How long all of it may take, finding the name included' '--status' 'The status codes of HTTP that are a success: A-B, or one' '-h' 'Print help' '--help' 'Print help' '-V' 'Print version' '--version' 'Print version'
            case 'musterd schema'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '-h' 'Print help' '--help' 'Print help' '-V' 'Print version' '--version' 'Print version'
            case 'musterd ctl signal _'
                string match -q -- '-*' $current
                and printf '%s\t%s\n' '--socket' 'The manager\'s socket [env: MUSTERD_SOCKET]' '-h' 'Print help' '--help' 'Print help'
                set kind services
        end
    end
    switch "$kind"
        case services
            musterd ctl $socket names 2>/dev/null
        case words
            string split ' ' $choice
        case files
            __fish_complete_path $current
    end
end

complete -c musterd -f -a '(__musterd_proposals)'
