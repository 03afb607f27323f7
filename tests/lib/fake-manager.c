/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The thread accepts the clients of a listening socket, and runs each until it has gone. One filter takes all messages.
 */

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "fake-manager.h"

#define JOB "/org/freedesktop/systemd1/job/7"

struct FakeManager {
        const FakeManagerScript *script;
        FakeManagerSeen seen;
        pthread_t thread;
        int listener;
        char dir[64]; /* a runtime directory of our own, or "" */
        sd_bus *bus;  /* the thread's */
};

/* Made with NDEBUG too, unlike what stands in an assert(). A client may have gone in between. */
#define must(call)                                                                                           \
        do {                                                                                                 \
                int _r = (call);                                                                             \
                                                                                                             \
                if (_r < 0 && _r != -ECONNRESET && _r != -ENOTCONN && _r != -EPIPE) {                        \
                        fprintf(stderr, "fake-manager: %s: %s\n", #call, strerror(-_r));                     \
                        abort();                                                                             \
                }                                                                                            \
        } while (0)

static void emit_removed(FakeManager *m, const char *job, const char *unit, const char *result) {
        must(sd_bus_emit_signal(m->bus, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                                "JobRemoved", "uoss", 7, job, unit, result));
}

/* True if this message is the one at which something goes wrong. */
static bool meets_fault(FakeManager *m) {
        if (++m->seen.n_messages != m->script->fault_at)
                return false;
        if (m->script->fault == FAKE_MANAGER_CLOSES)
                (void)shutdown(sd_bus_get_fd(m->bus), SHUT_RDWR);
        return true;
}

static void end_job(FakeManager *m, const char *result) {
        if (!meets_fault(m))
                emit_removed(m, JOB, m->seen.unit, result);
        else if (m->script->fault == FAKE_MANAGER_REFUSES)
                emit_removed(m, JOB, m->seen.unit, "failed");
}

static void note_properties(FakeManager *m, sd_bus_message *call) {
        size_t n = 1;

        strcpy(m->seen.properties, " ");
        must(sd_bus_message_enter_container(call, 'a', "(sv)"));
        while (sd_bus_message_enter_container(call, 'r', "sv") > 0) {
                const char *name;

                must(sd_bus_message_read(call, "s", &name));
                must(sd_bus_message_skip(call, "v"));
                must(sd_bus_message_exit_container(call));
                if (n + strlen(name) + 2 < sizeof m->seen.properties)
                        n += (size_t)sprintf(m->seen.properties + n, "%s ", name);
        }
}

static bool has_property(const FakeManager *m, const char *name) {
        char word[64];

        (void)snprintf(word, sizeof word, " %s ", name);
        return strstr(m->seen.properties, word);
}

static int on_start(FakeManager *m, sd_bus_message *call) {
        const FakeManagerScript *s = m->script;
        const char *unit, *result = s->result ?: "done";

        m->seen.n_starts++;
        must(sd_bus_message_read(call, "ss", &unit, NULL));
        (void)snprintf(m->seen.unit, sizeof m->seen.unit, "%s", unit);
        note_properties(m, call);

        if (s->silent)
                return 1;
        if (s->refuse)
                return sd_bus_reply_method_errorf(call, "org.freedesktop.systemd1.UnitExists", "%s",
                                                  s->refuse);
        if (s->unknown && has_property(m, s->unknown))
                return sd_bus_reply_method_errorf(call, SD_BUS_ERROR_PROPERTY_READ_ONLY,
                                                  "Cannot set property %s, or unknown property.", s->unknown);
        if (s->other_job_first) {
                emit_removed(m, "/org/freedesktop/systemd1/job/5", m->seen.unit, "failed");
                emit_removed(m, "/org/freedesktop/systemd1/job/6", "other.service", "failed");
        }
        if (s->removed_before_reply)
                end_job(m, result);
        must(sd_bus_reply_method_return(call, "o", JOB));
        if (!s->removed_before_reply && !s->no_removal)
                end_job(m, result);
        return 1;
}

static void append_service(FakeManager *m, sd_bus_message *reply) {
        uint64_t begin = m->script->unstarted ? 0 : 12345;

        must(sd_bus_message_append(reply, "{sv}", "Type", "s", m->script->type));
        must(sd_bus_message_append(reply, "{sv}", "RemainAfterExit", "b", 1));
        must(sd_bus_message_append(reply, "{sv}", "DelegateSubgroup", "s", "supervisor"));
        must(sd_bus_message_append(reply, "{sv}", "ExecStart", "a(sasbttttuii)", 2, "/bin/a", 1, "a", 0,
                                   12ULL, 12ULL, 13ULL, 13ULL, 99, 1, 0, "/bin/b", 2, "b", "c", 1,
                                   (unsigned long long)begin, (unsigned long long)begin, 0ULL, 0ULL, 0, 0,
                                   0));
}

static int on_get_all(FakeManager *m, sd_bus_message *call) {
        __attribute__((__cleanup__(sd_bus_message_unrefp))) sd_bus_message *reply = NULL;
        const FakeManagerScript *s = m->script;

        m->seen.n_get_alls++;
        (void)snprintf(m->seen.path, sizeof m->seen.path, "%s", sd_bus_message_get_path(call));
        if (s->silent)
                return 1;
        if (s->refuse)
                return sd_bus_reply_method_errorf(call, SD_BUS_ERROR_ACCESS_DENIED, "%s", s->refuse);

        must(sd_bus_message_new_method_return(call, &reply));
        must(sd_bus_message_open_container(reply, 'a', "{sv}"));
        must(sd_bus_message_append(reply, "{sv}", "Id", "s", "baz.service"));
        must(sd_bus_message_append(reply, "{sv}", "After", "as", 2, "a.service", "b.service"));
        must(sd_bus_message_append(reply, "{sv}", "ActiveState", "s", s->active_state ?: "active"));
        must(sd_bus_message_append(reply, "{sv}", "SubState", "s", s->sub_state ?: "running"));
        must(sd_bus_message_append(reply, "{sv}", "Delegate", "b", (int)s->delegate));
        must(sd_bus_message_append(reply, "{sv}", "KillMode", "s", "mixed"));
        must(sd_bus_message_append(reply, "{sv}", "ControlGroup", "s", "/system.slice/baz.service"));
        must(sd_bus_message_append(reply, "{sv}", "TimeoutStopUSec", "t",
                                   s->stop_usec ? s->stop_usec : 90000000ULL));
        if (s->abort_usec)
                must(sd_bus_message_append(reply, "{sv}", "TimeoutAbortUSec", "t", s->abort_usec));
        must(sd_bus_message_append(reply, "{sv}", "SyslogIdentifier", "s", "the-units"));
        must(sd_bus_message_append(reply, "{sv}", "SyslogFacility", "i", 19));
        must(sd_bus_message_append(reply, "{sv}", "SyslogLevel", "i", 5));
        must(sd_bus_message_append(reply, "{sv}", "SyslogLevelPrefix", "b", 1));
        must(sd_bus_message_append(reply, "{sv}", "SendSIGKILL", "b", (int)!s->spares));
        must(sd_bus_message_append(reply, "{sv}", "SurviveFinalKillSignal", "b", (int)s->survives));
        must(sd_bus_message_append(reply, "{sv}", "IgnoreOnIsolate", "b", (int)s->ignores_isolate));
        must(sd_bus_message_append(reply, "{sv}", "KillSignal", "i", 2));
        must(sd_bus_message_append(reply, "{sv}", "BindsTo", "as", 1, "a.service"));
        must(sd_bus_message_append(reply, "{sv}", "Conflicts", "as", 2, "x.service", "shutdown.target"));
        if (s->memory_max)
                must(sd_bus_message_append(reply, "{sv}", "MemoryMax", "t", s->memory_max));
        must(sd_bus_message_append(reply, "{sv}", "IPAddressDeny", "a(iayu)", (int)s->denies, 2, 4, 127, 0, 0,
                                   1, 32));
        must(sd_bus_message_append(reply, "{sv}", "AllowedCPUs", "ay", 0));
        must(sd_bus_message_append(reply, "{sv}", "DevicePolicy", "s", s->denies ? "closed" : "auto"));
        if (s->type)
                append_service(m, reply);
        must(sd_bus_message_close_container(reply));
        must(sd_bus_message_send(reply));
        if (s->closes_after_answer) {
                must(sd_bus_flush(m->bus));
                (void)shutdown(sd_bus_get_fd(m->bus), SHUT_RDWR);
        }
        return 1;
}

static void emit_changed(FakeManager *m, const char *path, const char *interface, const char *state) {
        must(sd_bus_emit_signal(m->bus, path, "org.freedesktop.DBus.Properties", "PropertiesChanged",
                                "sa{sv}as", interface, 2, "SubState", "s", "stop-sigterm", "ActiveState", "s",
                                state, 1, "Job"));
}

/* The same of another interface, and of another unit, are nothing to the client. */
static int on_get(FakeManager *m, sd_bus_message *call) {
        static const char interface[] = "org.freedesktop.systemd1.Unit";
        const FakeManagerScript *s = m->script;
        bool closes = s->closes_after_answer && m->seen.n_gets == 0;
        char path[512];

        m->seen.n_gets++;
        (void)snprintf(path, sizeof path, "%s", sd_bus_message_get_path(call));
        must(sd_bus_reply_method_return(call, "v", "s", s->active_state ?: "active"));
        if (!s->changes_to)
                return 1;
        emit_changed(m, path, "org.freedesktop.systemd1.Service", "deactivating");
        emit_changed(m, "/org/freedesktop/systemd1/unit/other_2eservice", interface, "deactivating");
        emit_changed(m, path, interface, closes ? "reloading" : s->changes_to);
        if (closes) {
                must(sd_bus_flush(m->bus));
                (void)shutdown(sd_bus_get_fd(m->bus), SHUT_RDWR);
        }
        return 1;
}

static void note_id(FakeManager *m, sd_bus_message *call) {
        const void *id;
        size_t n;

        must(sd_bus_message_read_array(call, 'y', &id, &n));
        if (n == sizeof m->seen.machine_id)
                memcpy(m->seen.machine_id, id, n);
}

/* The process that a pidfd is for, by its fdinfo. */
static unsigned pid_of(int fd) {
        char path[64], line[128];
        unsigned pid = 0;
        FILE *f;

        (void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof line, f))
                if (strncmp(line, "Pid:", 4) == 0)
                        pid = (unsigned)strtoul(line + 4, NULL, 10);
        if (f)
                (void)fclose(f);
        return pid;
}

static void note_property(FakeManager *m, sd_bus_message *call, const char *name) {
        const char *text;
        int fd;

        if (strcmp(name, "LeaderPIDFD") == 0) {
                must(sd_bus_message_read(call, "v", "h", &fd));
                m->seen.machine_leader = pid_of(fd);
        } else if (strcmp(name, "Id") == 0) {
                must(sd_bus_message_enter_container(call, 'v', "ay"));
                note_id(m, call);
                must(sd_bus_message_exit_container(call));
        } else {
                must(sd_bus_message_read(call, "v", "s", &text));
                (void)snprintf(strcmp(name, "Class") == 0 ? m->seen.class : m->seen.service,
                               sizeof m->seen.class, "%s", text);
        }
}

static void note_machine(FakeManager *m, sd_bus_message *call) {
        const char *service, *class, *name;
        uint32_t leader;

        if (strcmp(m->seen.member, "RegisterMachine") == 0) {
                note_id(m, call);
                must(sd_bus_message_read(call, "ssus", &service, &class, &leader, NULL));
                (void)snprintf(m->seen.service, sizeof m->seen.service, "%s", service);
                (void)snprintf(m->seen.class, sizeof m->seen.class, "%s", class);
                m->seen.machine_leader = leader;
                return;
        }
        must(sd_bus_message_enter_container(call, 'a', "(sv)"));
        while (sd_bus_message_enter_container(call, 'r', "sv") > 0) {
                must(sd_bus_message_read(call, "s", &name));
                note_property(m, call, name);
                must(sd_bus_message_exit_container(call));
        }
}

static int on_machine(FakeManager *m, sd_bus_message *call) {
        const FakeManagerScript *s = m->script;
        bool leaves = sd_bus_message_is_method_call(call, NULL, "UnregisterMachine");
        const char *name;

        if (s->silent)
                return 1;
        if (s->no_pidfds && sd_bus_message_is_method_call(call, NULL, "RegisterMachineEx"))
                return sd_bus_reply_method_errorf(call, SD_BUS_ERROR_UNKNOWN_METHOD, "Unknown method");
        (void)snprintf(m->seen.member, sizeof m->seen.member, "%s", sd_bus_message_get_member(call));
        must(sd_bus_message_read(call, "s", &name));
        (void)snprintf(m->seen.machine, sizeof m->seen.machine, "%s", name);
        if (leaves) {
                m->seen.n_unregisters++;
                return sd_bus_reply_method_return(call, NULL);
        }
        m->seen.n_registers++;
        note_machine(m, call);
        if (s->machine_error)
                return sd_bus_reply_method_errorf(call, s->machine_error, "as it was told");
        return sd_bus_reply_method_return(call, "o", "/org/freedesktop/machine1/machine/baz");
}

static int on_get_leader(FakeManager *m, sd_bus_message *call) {
        m->seen.n_gets++;
        (void)snprintf(m->seen.path, sizeof m->seen.path, "%s", sd_bus_message_get_path(call));
        if (m->script->silent)
                return 1;
        if (m->script->leader == 0)
                return sd_bus_reply_method_errorf(call, SD_BUS_ERROR_UNKNOWN_OBJECT, "no such machine");
        return sd_bus_reply_method_return(call, "v", "u", m->script->leader);
}

static bool is_for_machined(sd_bus_message *call) {
        const char *path = sd_bus_message_get_path(call);

        return path && strncmp(path, "/org/freedesktop/machine1", 25) == 0;
}

static int on_message(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        FakeManager *m = userdata;

        if (sd_bus_message_is_method_call(call, NULL, NULL) && meets_fault(m))
                return m->script->fault == FAKE_MANAGER_REFUSES
                               ? sd_bus_reply_method_errorf(call, SD_BUS_ERROR_FAILED, "out of order")
                               : 1;
        if (is_for_machined(call))
                return sd_bus_message_is_method_call(call, NULL, "Get") ? on_get_leader(m, call)
                                                                        : on_machine(m, call);
        if (sd_bus_message_is_method_call(call, NULL, "StartTransientUnit"))
                return on_start(m, call);
        if (sd_bus_message_is_method_call(call, NULL, "GetAll"))
                return on_get_all(m, call);
        if (sd_bus_message_is_method_call(call, NULL, "Get"))
                return on_get(m, call);
        if (sd_bus_message_is_method_call(call, NULL, "Subscribe"))
                return (int)++m->seen.n_subscribes; /* no reply is wanted */
        if (sd_bus_message_is_method_call(call, NULL, "Hello"))
                return sd_bus_reply_method_return(call, "s", ":1.1");
        if (sd_bus_message_is_method_call(call, NULL, "AddMatch"))
                return sd_bus_reply_method_return(call, NULL);
        return 0;
}

static void serve(FakeManager *m, int fd) {
        sd_id128_t id = SD_ID128_MAKE(8f, 5b, 2c, 11, 0d, 3e, 4a, 77, 9c, 10, 65, fe, 21, b8, 43, d6);

        must(sd_bus_new(&m->bus));
        must(sd_bus_set_fd(m->bus, fd, fd));
        must(sd_bus_set_server(m->bus, 1, id));
        must(sd_bus_set_anonymous(m->bus, 1));
        must(sd_bus_set_sender(m->bus, "org.freedesktop.systemd1"));
        must(sd_bus_add_filter(m->bus, NULL, on_message, m));
        must(sd_bus_start(m->bus));
        for (;;) {
                int r = sd_bus_process(m->bus, NULL);

                if (r == 0)
                        r = sd_bus_wait(m->bus, UINT64_MAX);
                if (r < 0)
                        break; /* the client has gone */
        }
        (void)sd_bus_close_unref(m->bus); /* closes the descriptor too */
}

static void *run(void *userdata) {
        FakeManager *m = userdata;
        int fd;

        while ((fd = accept(m->listener, NULL, NULL)) >= 0) /* until it is shut down */
                serve(m, fd);
        return NULL;
}

static int listen_at(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd;

        (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        must(fd);
        must(bind(fd, (struct sockaddr *)&address, sizeof address));
        must(listen(fd, 4));
        return fd;
}

static int listen_on_user_bus(FakeManager *m) {
        char path[80];

        (void)snprintf(m->dir, sizeof m->dir, "/tmp/fake-manager-XXXXXX");
        must(mkdtemp(m->dir) ? 0 : -errno);
        must(setenv("XDG_RUNTIME_DIR", m->dir, 1));
        (void)snprintf(path, sizeof path, "%s/bus", m->dir);
        return listen_at(path);
}

FakeManager *fake_manager_new(const FakeManagerScript *script, const char *path) {
        FakeManager *m = calloc(1, sizeof *m);

        if (!m)
                abort();
        m->script = script;
        m->listener = path ? listen_at(path) : listen_on_user_bus(m);
        must(-pthread_create(&m->thread, NULL, run, m));
        return m;
}

static void remove_directory(const char *dir) {
        char path[80];

        (void)snprintf(path, sizeof path, "%s/bus", dir);
        must(unlink(path));
        must(rmdir(dir));
}

void fake_manager_finish(FakeManager *m, FakeManagerSeen *ret) {
        (void)shutdown(m->listener, SHUT_RDWR);
        (void)pthread_join(m->thread, NULL);
        (void)close(m->listener);
        if (m->dir[0])
                remove_directory(m->dir);
        if (ret)
                *ret = m->seen;
        free(m);
}
