# SPDX-License-Identifier: Apache-2.0
# Completion of scopemon(8) for fish.

set -l verbs explain list status doctor upgrade end

function __scopemon_containers
    scopemon list --no-legend 2>/dev/null | string split -f 1 ' '
end

function __scopemon_units
    systemctl list-units --no-legend --plain --type=service 2>/dev/null | string split -f 1 ' '
end

complete -c scopemon -f
complete -c scopemon -n "not __fish_seen_subcommand_from $verbs" -a explain -d 'Show where containers are placed and why'
complete -c scopemon -n "not __fish_seen_subcommand_from $verbs" -a list -d 'List containers'
complete -c scopemon -n "not __fish_seen_subcommand_from $verbs" -a status -d 'Explain a container and show its last output'
complete -c scopemon -n "not __fish_seen_subcommand_from $verbs" -a doctor -d 'Check how this host is set up'
complete -c scopemon -n "not __fish_seen_subcommand_from $verbs" -a upgrade -d 'Re-execute running monitors'
complete -c scopemon -n "not __fish_seen_subcommand_from $verbs" -a end -d 'Clean up after a monitor that was killed'
complete -c scopemon -n "__fish_seen_subcommand_from explain list status upgrade end" -a '(__scopemon_containers)'
complete -c scopemon -n "__fish_seen_subcommand_from doctor" -a '(__scopemon_units)'
complete -c scopemon -n "__fish_seen_subcommand_from $verbs" -l help -d 'Show help'
complete -c scopemon -n "__fish_seen_subcommand_from explain list status doctor" -l json -x -a 'short pretty off' -d 'JSON output'
complete -c scopemon -n "__fish_seen_subcommand_from explain list status doctor" -l no-pager -d 'Do not use a pager'
complete -c scopemon -n "__fish_seen_subcommand_from list doctor" -l no-legend -d 'No header'
complete -c scopemon -n "__fish_seen_subcommand_from list" -s o -l output -x -d Columns
complete -c scopemon -n "__fish_seen_subcommand_from list upgrade" -s a -l all -d 'All of them'
complete -c scopemon -n "__fish_seen_subcommand_from explain list status doctor upgrade" -l user -d 'Of the calling user only'
