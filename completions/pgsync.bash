# bash completion for pgsync and bootstrap. Options here and in --help are the same: e2e/test_help.py compares them.

# Options of a command; of pgsync and bootstrap by their names. One that takes a value ends with "=".
_pgsync_options() {
	local log="--log-level= --log-format= --help"
	local reach="--env-file= --host= --port= --user= --password --sslmode= --sslrootcert= --name="
	local source="--config= --schema-url= --s3-schema-url= $reach --adopt-existing-index"
	case $1 in
	run) echo "--file= --until-caught-up --listen= --console-listen= --console-token-file= --console-host= --console-actions
		--password-file= --password-command= $log" ;;
	validate | plan) echo "--file= $log" ;;
	dead-letters) echo "--file= --index= --all --output= $log" ;;
	compare) echo "--file= --index= --output= $log" ;;
	worker) echo "--credentials= --deny-egress= --sandbox= $log" ;;
	import) echo "$source --namespace= --variables --help" ;;
	init) echo "--root= --index= --database= $reach --namespace= --help" ;;
	bootstrap) echo "$source --teardown --no-create --verbose --version $log" ;;
	pgsync) echo "$source --daemon --wal --polling --bootstrap --analyze --num-workers= --producer --consumer --listen=
		--verbose --version $log" ;;
	esac
}

_pgsync() {
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[0]##*/} options

	if [[ $command == pgsync && $COMP_CWORD -gt 1 && ${COMP_WORDS[1]} != -* ]]; then
		command=${COMP_WORDS[1]}
	fi
	options=$(_pgsync_options "$command")
	COMPREPLY=()
	case $previous in
	-f | --file | -c | --config | --env-file | --sslrootcert | --console-token-file | --password-file | --password-command)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--log-level) mapfile -t COMPREPLY < <(compgen -W "error warn info debug trace" -- "$word") && return ;;
	-o | --output | --log-format) mapfile -t COMPREPLY < <(compgen -W "text json" -- "$word") && return ;;
	--sslmode) mapfile -t COMPREPLY < <(compgen -W "disable allow prefer require verify-ca verify-full" -- "$word") && return ;;
	esac
	# Any other option that takes a value: nothing to suggest.
	[[ $previous == --* && " ${options//$'\n'/ } " == *" $previous= "* ]] && return
	if [[ $command == pgsync && $COMP_CWORD -eq 1 && $word != -* ]]; then
		options="run validate plan dead-letters compare init import bootstrap worker"
	elif [[ $command == dead-letters && $COMP_CWORD -eq 2 && $word != -* ]]; then
		options="list show retry discard"
	fi
	mapfile -t COMPREPLY < <(compgen -W "${options//=/}" -- "$word")
}

complete -F _pgsync pgsync bootstrap
