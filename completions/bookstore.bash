# bash completion for bookstore. Options here and in --help are the same: e2e/test_help.py compares them.
_bookstore() {
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}

	COMPREPLY=()
	case $previous in
	--postgres-password-file)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		;;
	--log-level) mapfile -t COMPREPLY < <(compgen -W "error warn info debug trace" -- "$word") ;;
	--log-format) mapfile -t COMPREPLY < <(compgen -W "text json" -- "$word") ;;
	--listen | --host | --postgres-* | --search-* | --wait-url) ;;
	*)
		mapfile -t COMPREPLY < <(compgen -W "--listen --host --postgres-host --postgres-port --postgres-database --postgres-user
			--postgres-password-file --search-url --search-index --wait-url --log-level --log-format --version --help" -- "$word")
		;;
	esac
}

complete -F _bookstore bookstore
