/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The bundle's config.json. The caller has written it for the runtime; we read it to know where the container is meant
 * to live, and now and then change two things: the cgroup's path, and annotations that the runtime turns into
 * properties of the scope it makes. Everything else comes back as it was: the order of members, 64-bit numbers of
 * either sign, doubles digit by digit, all text.
 *
 * This is the only file that knows the JSON library. What that library would silently alter makes a file "broken"
 * before the library sees it (bundle-trap.c). So does nesting that no bundle has. A broken file is not an error: it
 * stays what it is, and the container goes without our changes.
 *
 * The file is never written in place, and a new one is never readable for more people than the old one was: the
 * environment in it may hold passwords.
 *
 * Property values are GVariant text, which has two readers. runc's knows escapes everywhere; crun's takes a single
 * string literally up to the first apostrophe and knows escapes in lists only. bundle_quote() and bundle_quote_list()
 * write what both understand.
 */

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"
#include "oci/bundle.h"

#define CONFIG_NAME "config.json"
#define CONFIG_NEW ".config.json.new"
#define CONFIG_MAX ((size_t)16 * 1024 * 1024)
#define CONFIG_DEPTH 128
#define PROPERTY_PREFIX "org.systemd.property."

struct Bundle {
        int dir_fd;
        struct stat st;
        struct json_object *config;
};

static bool is_object_or_absent(struct json_object *parent, const char *key) {
        struct json_object *member;

        return !json_object_object_get_ex(parent, key, &member) || !member ||
               json_object_is_type(member, json_type_object);
}

static const char *find_flaw(struct json_object *config) {
        if (!json_object_is_type(config, json_type_object))
                return "not an object";
        if (!is_object_or_absent(config, "linux"))
                return "linux is not an object";
        if (!is_object_or_absent(config, "annotations"))
                return "annotations is not an object";
        return NULL;
}

/* Returns NULL with *@ret_why set, or with *@ret_why NULL when memory ran out. @text has a NUL at @n. */
static struct json_object *parse_config(const char *text, size_t n, const char **ret_why) {
        struct json_object *config;
        struct json_tokener *t;

        *ret_why = bundle_find_trap(text, n);
        if (*ret_why)
                return NULL;
        t = json_tokener_new_ex(CONFIG_DEPTH);
        if (!t)
                return NULL;
        json_tokener_set_flags(t, JSON_TOKENER_STRICT);
        config = json_tokener_parse_ex(t, text,
                                       (int)n + 1); /* with the NUL, for the end of the text is to be seen */
        if (!config)
                *ret_why = json_tokener_get_error(t) == json_tokener_success
                                   ? "not an object"
                                   : json_tokener_error_desc(json_tokener_get_error(t));
        else
                *ret_why = find_flaw(config);
        json_tokener_free(t);

        if (*ret_why && config) {
                (void)json_object_put(config);
                return NULL;
        }
        return config;
}

/**
 * bundle_parse() - a config.json that is in memory already
 * @text: must have a NUL at @n
 * @ret_why: static text, set with BUNDLE_BROKEN
 *
 * What comes of it can be changed and formatted, but not saved.
 *
 * Return: 0, BUNDLE_BROKEN, or -ENOMEM.
 */
int bundle_parse(Bundle **ret, const char *text, size_t n, const char **ret_why) {
        _cleanup_(bundle_freep) Bundle *b = NULL;
        const char *why;

        if (n > CONFIG_MAX) {
                *ret_why = "too large";
                return BUNDLE_BROKEN;
        }
        b = calloc(1, sizeof *b);
        if (!b)
                return fail(-ENOMEM);
        b->dir_fd = -1;
        b->config = parse_config(text, n, &why);
        if (!b->config && !why)
                return fail(-ENOMEM);
        if (!b->config) {
                *ret_why = why;
                return BUNDLE_BROKEN;
        }
        *ret = TAKE_PTR(b);
        return 0;
}

/**
 * bundle_open() - read the config.json of a bundle
 * @dir: the bundle; kept open for bundle_save()
 * @ret_why: static text, set with BUNDLE_BROKEN
 *
 * Return: 0, BUNDLE_MISSING, BUNDLE_BROKEN, or a negative errno.
 */
int bundle_open(Bundle **ret, const char *dir, const char **ret_why) {
        _cleanup_(bundle_freep) Bundle *b = NULL;
        _cleanup_close_ int dir_fd = -1;
        _cleanup_free_ char *text = NULL;
        struct stat st;
        size_t n;
        int r;

        dir_fd = fd_open_directory(dir);
        if (dir_fd < 0)
                return relay(dir_fd);
        if (fstatat(dir_fd, CONFIG_NAME, &st, 0) < 0)
                return errno == ENOENT ? BUNDLE_MISSING : fail(-errno);
        if (!S_ISREG(st.st_mode) || st.st_size > (off_t)CONFIG_MAX) {
                *ret_why = S_ISREG(st.st_mode) ? "too large" : "not a regular file";
                return BUNDLE_BROKEN;
        }

        r = fd_read_file(dir_fd, CONFIG_NAME, CONFIG_MAX, &text, &n);
        if (r < 0)
                return relay(r);
        r = bundle_parse(&b, text, n, ret_why);
        if (r != 0)
                return r < 0 ? relay(r) : r;
        assert(b);
        b->dir_fd = TAKE_FD(dir_fd);
        b->st = st;
        *ret = TAKE_PTR(b);
        return 0;
}

/**
 * bundle_free() - forget the bundle, and changes that were not saved
 *
 * Return: NULL.
 */
Bundle *bundle_free(Bundle *b) {
        if (!b)
                return NULL;
        if (b->config)
                (void)json_object_put(b->config);
        cleanup_close(&b->dir_fd);
        free(b);
        return NULL;
}

static const char *get_string(const Bundle *b, const char *parent, const char *key) {
        struct json_object *object, *member;

        if (!json_object_object_get_ex(b->config, parent, &object) ||
            !json_object_object_get_ex(object, key, &member) ||
            !json_object_is_type(member, json_type_string))
                return NULL;
        return json_object_get_string(member);
}

/**
 * bundle_cgroups_path() - linux.cgroupsPath
 *
 * Return: text that lives until that member is changed, or NULL if there is none.
 */
const char *bundle_cgroups_path(const Bundle *b) {
        return get_string(b, "linux", "cgroupsPath");
}

/**
 * bundle_annotation() - the value of one annotation
 *
 * Return: text that lives until that annotation is changed, or NULL if there is none.
 */
const char *bundle_annotation(const Bundle *b, const char *key) {
        return get_string(b, "annotations", key);
}

static int add_member(struct json_object *object, const char *key, struct json_object *value) {
        if (!value)
                return fail(-ENOMEM);
        if (json_object_object_add(object, key, value) < 0) {
                (void)json_object_put(value);
                return fail(-ENOMEM);
        }
        return 0;
}

static int set_string(Bundle *b, const char *parent, const char *key, const char *value) {
        struct json_object *object;
        int r;

        if (!json_object_object_get_ex(b->config, parent, &object) || !object) {
                object = json_object_new_object();
                r = add_member(b->config, parent, object);
                if (r < 0)
                        return relay(r);
        }
        r = add_member(object, key, json_object_new_string(value));
        return r < 0 ? relay(r) : 0;
}

/**
 * bundle_set_cgroups_path() - change linux.cgroupsPath
 * @path: valid UTF-8; copied
 *
 * Return: 0 or -ENOMEM.
 */
int bundle_set_cgroups_path(Bundle *b, const char *path) {
        int r;

        r = set_string(b, "linux", "cgroupsPath", path);
        return r < 0 ? relay(r) : 0;
}

/**
 * bundle_annotate() - add an annotation
 * @value: valid UTF-8; copied
 * @replace: what to do if there is one of that name
 *
 * Return: 0, BUNDLE_KEPT, or -ENOMEM.
 */
int bundle_annotate(Bundle *b, const char *key, const char *value, bool replace) {
        struct json_object *annotations, *present;
        int r;

        if (!replace && json_object_object_get_ex(b->config, "annotations", &annotations) &&
            json_object_object_get_ex(annotations, key, &present) && present)
                return BUNDLE_KEPT;
        r = set_string(b, "annotations", key, value);
        return r < 0 ? relay(r) : 0;
}

/**
 * bundle_annotate_property() - add a property to the scope that the runtime will make
 * @property: systemd's name of it, for example BindsTo
 * @value: GVariant text: "true", "uint64 5", or from bundle_quote() and bundle_quote_list()
 *
 * One that the user or the caller has put there stays.
 *
 * Return: 0, BUNDLE_KEPT, -ENAMETOOLONG, or -ENOMEM.
 */
int bundle_annotate_property(Bundle *b, const char *property, const char *value) {
        char key[sizeof PROPERTY_PREFIX + 128];
        int n, r;

        n = snprintf(key, sizeof key, PROPERTY_PREFIX "%s", property);
        if (n < 0 || (size_t)n >= sizeof key)
                return fail(-ENAMETOOLONG);
        r = bundle_annotate(b, key, value, false);
        return r < 0 ? relay(r) : r;
}

/**
 * bundle_text() - the whole as JSON
 *
 * Return: text that lives until the next change, or NULL when memory ran out.
 */
const char *bundle_text(Bundle *b, size_t *ret_n) {
        return json_object_to_json_string_length(
                b->config, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, ret_n);
}

/* @name takes over owner, group and mode of the file it is going to replace. */
static int copy_rights(int dir_fd, const char *name, const struct stat *old) {
        struct stat st;

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return fail(-errno);
        if ((st.st_uid != old->st_uid || st.st_gid != old->st_gid) &&
            fchownat(dir_fd, name, old->st_uid, old->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
                return fail(-errno);
        if (fchmodat(dir_fd, name, old->st_mode & 07777, 0) < 0)
                return fail(-errno);
        return 0;
}

/**
 * bundle_save() - replace config.json, its owner and mode kept
 *
 * Only for what bundle_open() has opened. Whoever opens the file meanwhile gets the old or the new one, whole.
 *
 * Return: 0, or a negative errno with the old file still in place.
 */
int bundle_save(Bundle *b) {
        const char *text;
        size_t n;
        int r;

        text = bundle_text(b, &n);
        if (!text)
                return fail(-ENOMEM);
        r = fd_write_file_atomic(b->dir_fd, CONFIG_NEW, text, n, 0600);
        if (r < 0)
                return relay(r);

        r = copy_rights(b->dir_fd, CONFIG_NEW, &b->st);
        if (r >= 0 && renameat(b->dir_fd, CONFIG_NEW, b->dir_fd, CONFIG_NAME) < 0)
                r = fail(-errno);
        if (r < 0) {
                (void)unlinkat(b->dir_fd, CONFIG_NEW, 0); /* the first error is the one to tell */
                return relay(r);
        }
        return 0;
}

/**
 * bundle_wants_terminal() - process.terminal
 */
bool bundle_wants_terminal(const Bundle *b) {
        struct json_object *process, *terminal;

        return json_object_object_get_ex(b->config, "process", &process) &&
               json_object_object_get_ex(process, "terminal", &terminal) && json_object_get_boolean(terminal);
}

/* The array called @key of object @parent, made if it is not there; NULL if it is something else, or memory ran out. */
static struct json_object *get_array(struct json_object *parent, const char *key) {
        struct json_object *array;

        if (!json_object_object_get_ex(parent, key, &array) || !array) {
                array = json_object_new_array();
                if (add_member(parent, key, array) < 0)
                        return NULL;
        }
        return json_object_is_type(array, json_type_array) ? array : NULL;
}

static int add_word(struct json_object *array, const char *word) {
        struct json_object *value = json_object_new_string(word);

        if (!array || !value || json_object_array_add(array, value) < 0) {
                (void)json_object_put(value);
                return fail(-EINVAL);
        }
        return 0;
}

/**
 * bundle_add_mount() - show a directory of the host to the container
 * @from: absolute path
 *
 * Return: 0 or a negative errno.
 */
int bundle_add_mount(Bundle *b, const char *from, const char *to) {
        static const char *const options[] = { "bind", "rprivate", "nosuid", "nodev", "noexec" };
        struct json_object *mounts = get_array(b->config, "mounts"), *mount = json_object_new_object(),
                           *words;

        if (!mounts || !mount || json_object_array_add(mounts, mount) < 0) {
                (void)json_object_put(mount);
                return fail(-EINVAL);
        }
        words = get_array(mount, "options");
        if (add_member(mount, "destination", json_object_new_string(to)) < 0 ||
            add_member(mount, "source", json_object_new_string(from)) < 0 ||
            add_member(mount, "type", json_object_new_string("bind")) < 0)
                return fail(-ENOMEM);
        for (size_t i = 0; i < ELEMENTS(options); i++)
                if (add_word(words, options[i]) < 0)
                        return fail(-ENOMEM);
        return 0;
}

/**
 * bundle_set_variable() - add a variable to the environment of the container's first process
 *
 * Of two of the same name the last one counts, which is ours.
 *
 * Return: 0 or a negative errno.
 */
int bundle_set_variable(Bundle *b, const char *name, const char *value) {
        struct json_object *process;
        char word[PATH_MAX];
        int r;

        if (!json_object_object_get_ex(b->config, "process", &process) ||
            !json_object_is_type(process, json_type_object))
                return fail(-EINVAL);
        r = snprintf(word, sizeof word, "%s=%s", name, value);
        if (r < 0 || (size_t)r >= sizeof word)
                return fail(-ENAMETOOLONG);
        r = add_word(get_array(process, "env"), word);
        return r < 0 ? relay(r) : 0;
}

/**
 * bundle_copy_to() - write the config into another directory, for a container with the same root file system
 * @from: absolute path of the bundle, where a relative root.path starts
 *
 * The administrator's own config.json is left as it is.
 *
 * Return: 0 or a negative errno.
 */
int bundle_copy_to(Bundle *b, const char *from, const char *dir) {
        const char *root = get_string(b, "root", "path"), *text;
        char path[PATH_MAX];
        size_t n;
        int r;

        if (!root || root[0] != '/') {
                r = snprintf(path, sizeof path, "%s/%s", from, root ? root : "rootfs");
                if (r < 0 || (size_t)r >= sizeof path)
                        return fail(-ENAMETOOLONG);
                r = set_string(b, "root", "path", path);
                if (r < 0)
                        return relay(r);
        }
        text = bundle_text(b, &n);
        if (!text)
                return fail(-ENOMEM);
        r = snprintf(path, sizeof path, "%s/" CONFIG_NAME, dir);
        if (r < 0 || (size_t)r >= sizeof path)
                return fail(-ENAMETOOLONG);
        r = fd_write_file_atomic(AT_FDCWD, path, text, n, 0600);
        return r < 0 ? relay(r) : 0;
}
