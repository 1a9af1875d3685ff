# lrlab's completion for bash: eval "$(lrlab completion bash)"
# For `lrlab ...`, `python train.py ...` and `python -m lrlab ...`; other uses of python keep what they had.
_lrlab_python_before=$(complete -p python 2>/dev/null)
[[ $_lrlab_python_before == *_lrlab_complete* ]] && _lrlab_python_before=

_lrlab_complete() {
    local line=${COMP_LINE:0:COMP_POINT} words ask answer before
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    case ${words[0]##*/} in
        lrlab) ask=("${words[0]}") ;;
        *) if [[ ${words[1]##*/} == train.py || "${words[1]} ${words[2]}" =~ ^-m\ lrlab ]]; then
               ask=("${words[0]}" -m lrlab)
           else
               before=${_lrlab_python_before##* -F }
               [[ $before != "$_lrlab_python_before" ]] && "${before%% *}" "$@"
               return
           fi ;;
    esac
    # Bash replaces only what follows the last of its word breaks, of which = is one unless somebody removed it.
    before=
    [[ $COMP_WORDBREAKS == *=* && ${words[-1]} == *=* ]] && before=${words[-1]%=*}=
    COMPREPLY=()
    while IFS= read -r answer; do
        COMPREPLY+=("${answer#"$before"}")
    done < <("${ask[@]}" completion answer -- "${words[@]}" 2>/dev/null)
}
complete -o default -o nospace -F _lrlab_complete lrlab python python3
