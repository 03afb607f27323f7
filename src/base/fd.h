/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Descriptors and files: made CLOEXEC from birth, written to the end, replaced by rename. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

#define FD_MESSAGE_MAX 64 /* descriptors in one message */
#define FD_FEW 64         /* a monitor needs some 20, and up to ten more at times */

int fd_pipe(int *ret_read, int *ret_write);
int fd_set_nonblock(int fd, bool on);
int fd_set_cloexec(int fd, bool on);
int fd_dup(int fd);
int fd_dup_at_least(int fd, int lowest);
int fd_write_full(int fd, const void *data, size_t size);
int fd_open_null(int flags);
int fd_open_directory(const char *path);
int fd_open_regular(int dir_fd, const char *path, int flags, struct stat *ret_st);
int fd_flush_stdout(void);
int fd_read_all(int fd, size_t max, char **ret_text, size_t *ret_size);
int fd_read_file(int dir_fd, const char *path, size_t max, char **ret_text, size_t *ret_size);
int fd_write_file_atomic(int dir_fd, const char *path, const void *data, size_t size, mode_t mode);

int fd_list_open(int lowest, int **ret_fds, size_t *ret_n);
void fd_close_many(int *fds, size_t n_fds);
int fd_close_all_but(int *keep, size_t n_keep);
uint64_t fd_raise_limit(void);
bool fd_are_few(void);
bool fd_has_room_above(int fd, unsigned n);

int fd_bind_at(int socket_fd, int dir_fd, const char *name);
int fd_unix_address(const char *path, struct sockaddr_un *ret, socklen_t *ret_size);

ssize_t fd_send(int socket_fd, const void *data, size_t size, const int *fds, size_t n_fds);
size_t fd_pending(int socket_fd);
ssize_t fd_receive(int socket_fd, void *data, size_t size, int *fds, size_t max_fds, size_t *ret_n_fds);
bool fd_is_journal_stream(int fd);
