# bash completion for pgsync-operator. Options here and in --help are the same: e2e/test_help.py compares them.
_pgsync_operator() {
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}

	COMPREPLY=()
	case $previous in
	--kubeconfig | --worker-program | --console-token-file)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		;;
	--log-level) mapfile -t COMPREPLY < <(compgen -W "error warn info debug trace" -- "$word") ;;
	--log-format) mapfile -t COMPREPLY < <(compgen -W "text json" -- "$word") ;;
	--context | --namespace | --listen | --health-listen | --console-listen | --console-host | --wait-listen | --worker-sandbox | --deny-egress | --max-concurrent-reconciles | --max-pgsyncs | --worker-image | --agent | --secret-label | --leader-elect-*) ;;
	*)
		mapfile -t COMPREPLY < <(compgen -W "--kubeconfig --context --namespace --leader-elect --leader-elect-lease-duration
			--leader-elect-renew-deadline --leader-elect-retry-period --leader-elect-namespace --retire --listen --health-listen
			--console-listen --console-token-file --console-host --wait-listen --worker-program
			--worker-image --agent --mounts --worker-sandbox --deny-egress --max-concurrent-reconciles --max-pgsyncs --secret-label --service-names --log-level --log-format --version --help" -- "$word")
		;;
	esac
}

complete -F _pgsync_operator pgsync-operator
