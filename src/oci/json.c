/* SPDX-License-Identifier: Apache-2.0 */

/*
 * JSON that is written, but for one number of a runtime's answer. Whoever writes names a place, "monitor.worker.pid", and the objects on the way there
 * come by themselves, so that a caller is a list of facts and no tree of calls. What is in a bundle's config.json is
 * oci/bundle's business.
 *
 * Text may come from anybody: what is no UTF-8 becomes U+FFFD, since the library would write it as it is. Numbers
 * beyond 2^63 stay numbers.
 */

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "oci/json.h"

#define NAME_SIZE 64
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

struct Json {
        struct json_object *root;
};

static int new_root(Json **ret, struct json_object *root) {
        Json *j = calloc(1, sizeof *j);

        if (!j || !root) {
                if (root)
                        (void)json_object_put(root);
                free(j);
                return fail(-ENOMEM);
        }
        j->root = root;
        *ret = j;
        return 0;
}

/**
 * json_new() - an empty object
 */
int json_new(Json **ret) {
        int r;

        r = new_root(ret, json_object_new_object());
        return r < 0 ? relay(r) : 0;
}

/**
 * json_new_array() - an empty array, for json_append()
 */
int json_new_array(Json **ret) {
        int r;

        r = new_root(ret, json_object_new_array());
        return r < 0 ? relay(r) : 0;
}

/**
 * json_free() - forget it, with all that is in it
 *
 * Return: NULL.
 */
Json *json_free(Json *j) {
        if (!j)
                return NULL;
        (void)json_object_put(j->root);
        free(j);
        return NULL;
}

static int add_member(struct json_object *object, const char *name, struct json_object *value) {
        if (!value)
                return fail(-ENOMEM);
        if (json_object_object_add(object, name, value) < 0) {
                (void)json_object_put(value);
                return fail(-ENOMEM);
        }
        return 0;
}

/* The object that the last name of @path is a member of, and that name. */
static int find_parent(Json *j, const char *path, struct json_object **ret, const char **ret_name) {
        struct json_object *object = j->root, *next;
        const char *dot;
        int r;

        for (; (dot = strchr(path, '.')); path = dot + 1) {
                char name[NAME_SIZE];

                if ((size_t)(dot - path) >= sizeof name)
                        return fail(-ENAMETOOLONG);
                *(char *)mempcpy(name, path, (size_t)(dot - path)) = 0;
                if (!json_object_object_get_ex(object, name, &next)) {
                        next = json_object_new_object();
                        r = add_member(object, name, next);
                        if (r < 0)
                                return relay(r);
                }
                object = next;
        }
        *ret = object;
        *ret_name = path;
        return 0;
}

/* Takes over @value, also when it fails. */
static int set(Json *j, const char *path, struct json_object *value) {
        struct json_object *parent;
        const char *name;
        int r;

        r = find_parent(j, path, &parent, &name);
        if (r < 0) {
                (void)json_object_put(value);
                return relay(r);
        }
        r = add_member(parent, name, value);
        return r < 0 ? relay(r) : 0;
}

static struct json_object *new_text(const char *text) {
        char *clean = malloc(3 * strlen(text) + 1), *out = clean;
        struct json_object *value;

        if (!clean)
                return NULL;
        while (*text) {
                size_t n = utf8_length(text, UTF8_TO_NUL);

                out = n > 0 ? mempcpy(out, text, n) : stpcpy(out, REPLACEMENT);
                text += n > 0 ? n : 1;
        }
        *out = 0;
        value = json_object_new_string(clean);
        free(clean);
        return value;
}

/**
 * json_set_text() - write a text
 * @path: names, a dot between two
 * @text: any bytes
 *
 * Return: 0 or -ENOMEM, as with the others below.
 */
int json_set_text(Json *j, const char *path, const char *text) {
        int r;

        r = set(j, path, new_text(text));
        return r < 0 ? relay(r) : 0;
}

/**
 * json_set_number() - write a number
 */
int json_set_number(Json *j, const char *path, uint64_t number) {
        int r;

        r = set(j, path, json_object_new_uint64(number));
        return r < 0 ? relay(r) : 0;
}

/**
 * json_set_bool() - write true or false
 */
int json_set_bool(Json *j, const char *path, bool value) {
        int r;

        r = set(j, path, json_object_new_boolean(value));
        return r < 0 ? relay(r) : 0;
}

/**
 * json_append_text() - add a text to an array, which is made by that
 */
int json_append_text(Json *j, const char *path, const char *text) {
        struct json_object *parent, *array, *value;
        const char *name;
        int r;

        r = find_parent(j, path, &parent, &name);
        if (r < 0)
                return relay(r);
        if (!json_object_object_get_ex(parent, name, &array)) {
                array = json_object_new_array();
                r = add_member(parent, name, array);
                if (r < 0)
                        return relay(r);
        }
        value = new_text(text);
        if (value && json_object_array_add(array, value) >= 0)
                return 0;
        if (value)
                (void)json_object_put(value);
        return fail(-ENOMEM);
}

/**
 * json_append() - put an object at the end of an array
 * @element: still the caller's, to change or to free
 */
int json_append(Json *array, Json *element) {
        if (json_object_array_add(array->root, json_object_get(element->root)) >= 0)
                return 0;
        (void)json_object_put(element->root);
        return fail(-ENOMEM);
}

/**
 * json_text() - all of it as text, in one line unless @pretty
 *
 * Return: text that lives until the next call for @j, or NULL when memory ran out.
 */
const char *json_text(Json *j, bool pretty) {
        return json_object_to_json_string_ext(
                j->root,
                JSON_C_TO_STRING_NOSLASHESCAPE | (pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED
                                                         : JSON_C_TO_STRING_PLAIN));
}

/**
 * json_read_number() - a number that an object has under a name
 * @text: of whoever
 *
 * Return: 0, or -EBADMSG if it is no such object, or that no number from 0 on.
 */
int json_read_number(const char *text, const char *key, uint64_t *ret) {
        struct json_object *root = json_tokener_parse(text), *value;
        int r = -EBADMSG;

        if (root && json_object_is_type(root, json_type_object) &&
            json_object_object_get_ex(root, key, &value) && json_object_is_type(value, json_type_int) &&
            json_object_get_int64(value) >= 0) {
                *ret = (uint64_t)json_object_get_int64(value);
                r = 0;
        }
        if (root)
                (void)json_object_put(root);
        return r;
}
