# lrlab's completion for zsh: eval "$(lrlab completion zsh)", after compinit
_lrlab() {
    local -a answers ended open
    answers=("${(@f)$(lrlab completion answer -- "${(@)words[1,CURRENT]}" 2>/dev/null)}")
    ended=("${(@)${(@M)answers:#* }% }")
    open=("${(@)answers:#* }")
    open=("${(@)open:#}")
    if (( $#ended + $#open )); then
        (( $#ended )) && compadd -Q -- "${ended[@]}"
        (( $#open )) && compadd -Q -S '' -- "${open[@]}"
    else
        compset -P '*='
        _files
    fi
}
compdef _lrlab lrlab
