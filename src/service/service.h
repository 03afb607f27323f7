/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Service mode: a systemd unit that is a container, with no container manager in between. */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/options.h"
#include "io/notify-queue.h"

typedef struct Bundle Bundle;

#define SERVICE_STOP_USEC                                                                                    \
        10000000U               /* from the stop signal to the kill, unless bundle or unit says otherwise */
#define SERVICE_STOP_MAX 86400U /* s, in the bundle */

/* What the bundle says of how to stop. */
typedef struct ServiceStop {
        int signal;
        uint64_t usec;
} ServiceStop;

/* Who says READY=1. */
#define SERVICE_NOTIFY_MONITOR "conmon"
#define SERVICE_NOTIFY_CONTAINER "container"

/* What says which container it is. */
typedef struct ServiceWords {
        const char *bundle, *name, *runtime;
        char cid[256];
} ServiceWords;

const char *service_next_value(int argc, char *argv[], const char *name, int *at);
int service_words(int argc, char *argv[], ServiceWords *ret);
bool service_is_wanted(int argc, char *argv[]);
int service_expand(int argc, char *argv[], int *ret_argc, char ***ret_argv);
char **service_environment(char *envp[]);
int service_stop_of(const char *signal_text, const char *usec_text, uint64_t unit_usec, ServiceStop *ret);
void service_stop_of_bundle(const Bundle *b, uint64_t unit_usec, ServiceStop *ret);
bool service_container_notifies(const Options *o);
void service_tell_created(NotifyQueue *to, const Options *o);
void service_tell_ready(NotifyQueue *to, const Options *o, pid_t pid);
void service_tell_taken(NotifyQueue *to, const Options *o, pid_t pid, bool ready);
void service_tell_stopping(NotifyQueue *to, const Options *o, uint64_t usec);
void service_tell_stopped(NotifyQueue *to, const Options *o, uint64_t usec);
void service_tell_reloading(NotifyQueue *to, const Options *o);
void service_tell_failed(NotifyQueue *to, const char *text);
void service_tell_alive(NotifyQueue *to);
uint64_t service_watchdog_usec(void);
