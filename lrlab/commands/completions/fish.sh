# lrlab's completion for fish: lrlab completion fish | source
function __lrlab_answers
    lrlab completion answer -- (commandline -opc) (commandline -ct) 2>/dev/null | string trim
end
# Where lrlab has no answer, fish completes files.
complete -c lrlab -n '__lrlab_answers | string length -q' -f -a '(__lrlab_answers)'
