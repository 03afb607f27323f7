# SPDX-License-Identifier: Apache-2.0
# capture.zsh DIRECTORY SCRATCH LINE: what zsh adds to the completions of LINE, with the functions in DIRECTORY.
zmodload zsh/zpty
directory=$1 scratch=$2 line=$3

cat >$scratch/.zshrc-capture <<END
PROMPT=
fpath=($directory \$fpath)
autoload -Uz compinit && compinit -C -d $scratch/zcompdump
zstyle ':completion:*' list-grouped false
zstyle ':completion:*' force-list always
compadd() {
        if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
                builtin compadd "\$@"
                return
        fi
        local -a hits
        builtin compadd -O hits "\$@"
        ((\$#hits)) && print -l -- \$hits >>$scratch/hits
        builtin compadd "\$@"
}
complete_it() {
        comppostfuncs=(finish)
        zle complete-word
}
finish() { : >$scratch/done }
zle -N complete_it
bindkey '^I' complete_it
: >$scratch/ready
END
rm -f $scratch/(hits|done|ready)(N)
zpty shell "zsh -f -i"
zpty -w shell "source $scratch/.zshrc-capture"
until [[ -e $scratch/ready ]]; do zpty -r -t shell skipped || sleep 0.05; done
zpty -n -w shell "$line"$'\t'
until [[ -e $scratch/done ]]; do zpty -r -t shell skipped || sleep 0.05; done
zpty -d shell
[[ -e $scratch/hits ]] && cat $scratch/hits
exit 0
