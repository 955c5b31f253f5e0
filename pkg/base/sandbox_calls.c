/* System calls that a worker gives up.
 *
 * A list of what is refused, and not of what is allowed: which calls libcurl, OpenSSL, libpq and the resolver's modules
 * make changes with their versions, and a call that is missing would stop a worker at a customer's. What is refused is
 * what reaches other processes, starts programs, or is a large part of the kernel that no client of two servers needs.
 * Calls that are newer than the list do not exist (ENOSYS), as on an older kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sandbox_int.h"

#if defined(__x86_64__)
enum { MACHINE = AUDIT_ARCH_X86_64 };
#elif defined(__aarch64__)
enum { MACHINE = AUDIT_ARCH_AARCH64 };
#else
#error "which machine's system calls?"
#endif

/* NEWEST: set_mempolicy_home_node, of Linux 5.17. */
enum { NEWEST = 450, INSTRUCTIONS = 1024, VALUES = 4 };

static const int refused[] = {
	/* programs and other processes */
	SYS_execve,
	SYS_execveat,
	SYS_ptrace,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_process_madvise,
	SYS_process_mrelease,
	SYS_pidfd_open,
	SYS_pidfd_getfd,
	SYS_pidfd_send_signal,
	SYS_kcmp,
	SYS_tkill,
	SYS_rt_sigqueueinfo,
	SYS_rt_tgsigqueueinfo,
	SYS_setpriority,
	SYS_ioprio_set,
	SYS_sched_setaffinity,
	SYS_sched_setattr,
	SYS_sched_setparam,
	SYS_sched_setscheduler,
	SYS_migrate_pages,
	SYS_move_pages,
#ifdef __x86_64__
	SYS_fork,
	SYS_vfork,
#endif
	/* listening */
	SYS_listen,
	SYS_accept,
	SYS_accept4,
	/* what Landlock does not cover of files */
	SYS_truncate,
	SYS_ftruncate, /* of standard error, which may be a file, and is the operator's as well */
	SYS_fchmod,
	SYS_fchmodat,
	SYS_fchown,
	SYS_fchownat,
	SYS_utimensat,
	SYS_setxattr,
	SYS_lsetxattr,
	SYS_fsetxattr,
	SYS_removexattr,
	SYS_lremovexattr,
	SYS_fremovexattr,
	SYS_name_to_handle_at,
	SYS_open_by_handle_at,
	SYS_fanotify_init,
	SYS_fanotify_mark,
	SYS_quotactl,
	SYS_quotactl_fd,
	SYS_vmsplice,
	SYS_splice,
	SYS_tee,
#ifdef __x86_64__
	SYS_chmod,
	SYS_chown,
	SYS_lchown,
	SYS_utime,
	SYS_utimes,
	SYS_futimesat,
#endif
	/* mounts and namespaces */
	SYS_mount,
	SYS_umount2,
	SYS_pivot_root,
	SYS_chroot,
	SYS_unshare,
	SYS_setns,
	SYS_open_tree,
	SYS_move_mount,
	SYS_mount_setattr,
	SYS_fsopen,
	SYS_fsconfig,
	SYS_fsmount,
	SYS_fspick,
	/* identities and keys */
	SYS_setuid,
	SYS_setgid,
	SYS_setreuid,
	SYS_setregid,
	SYS_setresuid,
	SYS_setresgid,
	SYS_setfsuid,
	SYS_setfsgid,
	SYS_setgroups,
	SYS_capset,
	SYS_personality,
	SYS_add_key,
	SYS_request_key,
	SYS_keyctl,
	/* memory and queues that others can have a part in */
	SYS_shmget,
	SYS_shmat,
	SYS_shmctl,
	SYS_semget,
	SYS_semop,
	SYS_semtimedop,
	SYS_semctl,
	SYS_msgget,
	SYS_msgsnd,
	SYS_msgrcv,
	SYS_msgctl,
	SYS_mq_open,
	SYS_mq_unlink,
	SYS_mq_notify,
	SYS_remap_file_pages,
	SYS_mbind,
	SYS_set_mempolicy,
	SYS_set_mempolicy_home_node,
	/* large parts of the kernel */
	SYS_bpf,
	SYS_perf_event_open,
	SYS_userfaultfd,
	SYS_io_uring_setup,
	SYS_io_uring_enter,
	SYS_io_uring_register,
	SYS_io_setup,
	SYS_io_submit,
	/* the machine */
	SYS_init_module,
	SYS_finit_module,
	SYS_delete_module,
	SYS_kexec_load,
	SYS_reboot,
	SYS_swapon,
	SYS_swapoff,
	SYS_acct,
	SYS_syslog,
	SYS_vhangup,
	SYS_settimeofday,
	SYS_clock_settime,
	SYS_clock_adjtime,
	SYS_adjtimex,
	SYS_sethostname,
	SYS_setdomainname,
	SYS_lookup_dcookie,
	SYS_nfsservctl,
#ifdef __x86_64__
	SYS_kexec_file_load,
	SYS_iopl,
	SYS_ioperm,
	SYS_modify_ldt,
	SYS_uselib,
	SYS_ustat,
	SYS_sysfs,
	SYS__sysctl,
#endif
};

/* A call that depends on an argument: on its lower half, which is all that the kernel looks at. */
struct rule {
	int call;
	unsigned argument;
	bool allowed; /* these values alone, or all but these */
	uint32_t values[VALUES];
	size_t n;
};

struct filter {
	struct sock_filter code[INSTRUCTIONS];
	unsigned short n;
};

static void add_instruction(struct filter *f, unsigned code, uint32_t k, size_t if_true, size_t if_false)
{
	f->code[f->n++] = (struct sock_filter)BPF_JUMP((unsigned short)code, k, (uint8_t)if_true, (uint8_t)if_false);
}

static void add_load(struct filter *f, size_t offset)
{
	add_instruction(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void add_end(struct filter *f, uint32_t what)
{
	add_instruction(f, BPF_RET | BPF_K, what, 0, 0);
}

static void add_refusal(struct filter *f, int call, int errnum)
{
	add_instruction(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
	add_end(f, SECCOMP_RET_ERRNO | (uint32_t)errnum);
}

static void add_rule(struct filter *f, const struct rule *rule)
{
	uint32_t ends[] = {SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ALLOW};

	add_instruction(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rule->call, 0, rule->n + 3);
	add_load(f, offsetof(struct seccomp_data, args) + rule->argument * sizeof(uint64_t));
	for (size_t i = 0; i < rule->n; i++)
		add_instruction(f, BPF_JMP | BPF_JEQ | BPF_K, rule->values[i], rule->n - i, 0);
	add_end(f, ends[!rule->allowed]);
	add_end(f, ends[rule->allowed]);
}

/* Threads, and no processes. */
static void add_clone(struct filter *f)
{
	/* Its arguments are in memory, which a filter cannot read; glibc takes the old call then. */
	add_refusal(f, SYS_clone3, ENOSYS);
	add_instruction(f, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4);
	add_load(f, offsetof(struct seccomp_data, args));
	add_instruction(f, BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0);
	add_end(f, SECCOMP_RET_ERRNO | EPERM);
	add_end(f, SECCOMP_RET_ALLOW);
}

static void add_rules(struct filter *f)
{
	const uint32_t self = (uint32_t)getpid();
	const struct rule rules[] = {
		{SYS_kill, 0, true, {self}, 1},
		{SYS_tgkill, 0, true, {self}, 1},
		{SYS_prlimit64, 0, true, {0, self}, 2},
		/* Netlink: the resolver asks which addresses this machine has. */
		{SYS_socket, 0, true, {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK}, 4},
		/* Ways to have the kernel send a signal to another process, or input to a terminal. */
		{SYS_fcntl, 1, false, {F_SETOWN, F_SETOWN_EX, F_SETSIG}, 3},
		{SYS_ioctl, 1, false, {FIOSETOWN, SIOCSPGRP, TIOCSTI}, 3},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		add_rule(f, &rules[i]);
	add_clone(f);
}

bool sandbox_restrict_calls(void)
{
	struct filter f = {.n = 0};
	struct sock_fprog program = {.filter = f.code};

	add_load(&f, offsetof(struct seccomp_data, arch));
	add_instruction(&f, BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0);
	add_end(&f, SECCOMP_RET_ERRNO | EPERM);
	add_load(&f, offsetof(struct seccomp_data, nr));
	add_instruction(&f, BPF_JMP | BPF_JGT | BPF_K, NEWEST, 0, 1);
	add_end(&f, SECCOMP_RET_ERRNO | ENOSYS);
	add_rules(&f);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		add_refusal(&f, refused[i], EPERM);
	add_end(&f, SECCOMP_RET_ALLOW);
	program.len = f.n;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}
