/*
 * The inside of AF_UNIX, shared by unix.c, unix_name.c, unix_connect.c, unix_msg.c, unix_rights.c.
 *
 * Locks: unix->lock (names, descriptors in flight), then a listener's lock, then another socket's.
 * Nothing else nests: a sender charges itself, drops its lock, then takes its peer's.
 */
#ifndef FILE_UNIX_IMPL_H
#define FILE_UNIX_IMPL_H

#include <linux/socket.h>
#include <linux/un.h>

#include "file/ipc_impl.h"
#include "file/socket_abi.h"
#include "file/vnode.h"

#define UNIX_BUFFER	212992u /* net.core.wmem_default */
#define UNIX_BUFFER_MIN 4608u
#define UNIX_BUCKETS	64
#define UNIX_RIGHTS_MAX 253 /* SCM_MAX_FD */

#define SHUT_RECEIVE 1u
#define SHUT_SEND    2u
#define SHUT_BOTH    3u

enum unix_state { UNIX_IDLE, UNIX_CONNECTING, UNIX_CONNECTED, UNIX_LISTENING };

struct unix_cred {
	int pid;
	u32 uid, gid;
};

struct unix_name {
	u32 len; /* of the path; 0: none. path[0] == 0: abstract */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

struct unix_sock {
	struct refcount refs;
	int type;		    /* [I] SOCK_* */
	struct file *file;	    /* [I] once it has one, without a reference */
	struct spinlock lock;	    /* rank RANK_FILE */
	enum unix_state state;	    /* [lock] */
	bool dead;		    /* [lock] its file is gone */
	unsigned shut;		    /* [lock] SHUT_*; both once a stream's peer is gone */
	int error;		    /* [lock] SO_ERROR */
	struct unix_sock *peer;	    /* [lock] with a reference */
	struct list rx;		    /* [lock] struct unix_msg */
	size_t rx_bytes;	    /* [lock] unread */
	size_t tx_charge;	    /* [lock] what it has sent and nobody read yet */
	size_t sndbuf, rcvbuf;	    /* [lock] */
	struct waitq readable;	    /* [lock] */
	struct waitq writable;	    /* [lock] */
	struct list pending;	    /* [lock] of a listener: sockets to accept, by `accept_link` */
	struct list accept_link;    /* [listener's lock] */
	unsigned npending, backlog; /* [lock] */
	struct waitq connecters;    /* [lock] wait for room in the backlog */
	struct unix_cred cred;	    /* [lock] of the listener or connecter itself */
	struct unix_cred peer_cred; /* [lock] SO_PEERCRED */
	bool pass_cred;		    /* [lock] SO_PASSCRED */
	ns_t rcv_timeout, snd_timeout; /* [lock] 0: none */
	u32 flag_options;	       /* [lock] options that are only remembered, by number */
	struct unix_name name;	       /* [unix->lock] set once */
	struct dentry *bound;	   /* [unix->lock] the node in the name space, with a reference */
	struct list name_link;	   /* [unix->lock] abstract names */
	u32 inflight;		   /* [unix->lock] messages that hold its file */
	struct list inflight_link; /* [unix->lock] */
	struct list all_link;	   /* [unix->lock] */
	u32 gc_count;		   /* [unix->lock] during a collection */
	bool gc_candidate;	   /* [unix->lock] */
	struct persistent persistent;
};

struct unix_msg {
	struct list link;
	struct refcount refs;
	struct unix_sock *sender; /* with a reference */
	struct unix_cred cred;
	size_t charge;
	size_t start, size;  /* [receiver's lock] unread: data[start..size) */
	unsigned nfiles;     /* [receiver's lock, unix->lock] */
	struct file **files; /* with references */
	struct persistent persistent;
	char data[];
};

struct unix_sockets {
	struct spinlock lock;		 /* rank RANK_FILE */
	struct list names[UNIX_BUCKETS]; /* [lock] */
	struct list all;		 /* [lock] every socket */
	u32 next_auto;			 /* [lock] */
	struct list inflight;		 /* [lock] */
	struct list dead;		 /* [lock] messages to free */
	bool draining;			 /* [lock] somebody frees them */
};

static inline struct unix_sockets *
unix_root(void)
{
	return machine()->unix_sockets;
}

static inline void
unix_get(struct unix_sock *s)
{
	refcount_get(&s->refs);
}

/* unix.c */
struct unix_sock *unix_sock_alloc(int type);
void unix_put(struct unix_sock *s);
int unix_file(struct unix_sock *s, unsigned flags, struct file **out);
/* The socket of a file, NULL if it is none of ours. */
struct unix_sock *unix_of(struct file *f);
void unix_close(struct unix_sock *s);
struct unix_cred unix_current_cred(void);
bool unix_is_connected_kind(const struct unix_sock *s); /* stream or seqpacket */
bool unix_can_send(const struct unix_sock *s);

/* unix_name.c */
int unix_bind(struct file *f, const void *addr, unsigned len);
int unix_autobind(struct unix_sock *s);
int unix_find(const void *addr, unsigned len, int type, struct unix_sock **out);
void unix_unbind(struct unix_sock *s);
int unix_getname(struct file *f, bool peer, void *addr, unsigned *len);
void unix_name_out(const struct unix_sock *s, void *addr, unsigned *len);

/* The abstract name of a socket that a resume made is found again. */
void unix_name_restore(struct unix_sock *s);

/* unix_persist.c */
extern const struct file_persist unix_file_persist;

/* unix_connect.c */
int unix_connect(struct file *f, const void *addr, unsigned len);
int unix_listen(struct file *f, int backlog);
int unix_accept(struct file *f, unsigned flags, struct file **out, void *addr, unsigned *len);

/* unix_proc.c */
int unix_proc_init(void);

/* unix_msg.c */
ssize_t unix_send(struct file *f, struct socket_msg *m);
ssize_t unix_recv(struct file *f, struct socket_msg *m);
void unix_msg_put(struct unix_msg *m);

/* unix_rights.c */
/* Reads control messages of a send into m. 0, -EINVAL, -EBADF, -EPERM, -ENOMEM. */
int unix_control_in(struct unix_msg *m, const struct socket_msg *sm);
/* Writes those of a receive; `peek` leaves the files in m. */
void unix_control_out(struct unix_sock *s, struct unix_msg *m, struct socket_msg *sm, size_t room,
		      bool peek);
void unix_rights_drop(struct unix_msg *m);
/* Counts the files of a message that a resume made as in flight. */
void unix_rights_restore(struct unix_msg *m);
/* Frees unread messages, however deeply sockets lie in each other's queues. */
void unix_discard(struct list *msgs);
void unix_collect(void);

#endif
