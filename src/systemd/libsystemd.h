/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libsystemd, mapped when it is needed and not before: sd->bus_new() is sd_bus_new(). */

#include <systemd/sd-bus.h>
#include <systemd/sd-journal.h>

#define LIBSYSTEMD "libsystemd.so.0"

#define LIBSYSTEMD_FUNCTIONS(X)                                                                              \
        X(bus_call_async)                                                                                    \
        X(bus_call_method)                                                                                   \
        X(bus_can_send)                                                                                      \
        X(bus_close_unref)                                                                                   \
        X(bus_error_has_name)                                                                                \
        X(bus_is_ready)                                                                                      \
        X(bus_match_signal_async)                                                                            \
        X(bus_message_append)                                                                                \
        X(bus_message_close_container)                                                                       \
        X(bus_message_enter_container)                                                                       \
        X(bus_message_exit_container)                                                                        \
        X(bus_message_get_error)                                                                             \
        X(bus_message_new_method_call)                                                                       \
        X(bus_message_open_container)                                                                        \
        X(bus_message_read)                                                                                  \
        X(bus_message_skip)                                                                                  \
        X(bus_message_unref)                                                                                 \
        X(bus_negotiate_fds)                                                                                 \
        X(bus_new)                                                                                           \
        X(bus_open_system)                                                                                   \
        X(bus_process)                                                                                       \
        X(bus_set_address)                                                                                   \
        X(bus_set_bus_client)                                                                                \
        X(bus_set_method_call_timeout)                                                                       \
        X(bus_slot_unref)                                                                                    \
        X(bus_start)                                                                                         \
        X(bus_wait)                                                                                          \
        X(journal_add_match)                                                                                 \
        X(journal_close)                                                                                     \
        X(journal_flush_matches)                                                                             \
        X(journal_get_data)                                                                                  \
        X(journal_get_realtime_usec)                                                                         \
        X(journal_open)                                                                                      \
        X(journal_open_directory)                                                                            \
        X(journal_previous)                                                                                  \
        X(journal_seek_tail)                                                                                 \
        X(journal_set_data_threshold)

typedef struct Libsystemd {
#define LIBSYSTEMD_MEMBER(name) __typeof__(&sd_##name) name;
        LIBSYSTEMD_FUNCTIONS(LIBSYSTEMD_MEMBER)
#undef LIBSYSTEMD_MEMBER
} Libsystemd;

int libsystemd_load(Libsystemd *ret);
int libsystemd_load_from(const char *file, Libsystemd *ret);
