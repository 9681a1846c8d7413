// A rule in C: the principal must be the one that the policy's arguments name, `{"who": "ana"}`.
// LANGUAGES.md has the commands that build it.
//
// How the contract's records lie in memory is the component model's canonical ABI, written out by
// hand. Every call meets a fresh instance: memory is given and never freed.
#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name("stagedoor:rule/guard@0.2.0#" name)))

typedef struct { const char *bytes; size_t length; } string;
typedef struct { uint8_t some; string value; } option_string;
#define TEXT(literal) ((string){literal, sizeof literal - 1})

enum { PRINCIPAL = 1, ACTION = 2, RESOURCE = 4, CONTEXT = 8 };
typedef struct { string name, version; uint8_t inputs; string schema; } rule_info;
typedef struct { uint8_t failed; string error; } validity;
typedef struct { uint8_t holds; option_string reason; } verdict;
typedef struct { uint8_t failed; union { verdict verdict; string error; }; } answer;

typedef struct { string type, id; } entity_uid;
typedef struct {
  entity_uid uid;
  string attributes, tags;
  entity_uid *ancestors;
  size_t ancestor_count;
} entity;
typedef struct {
  uint8_t has_principal;
  entity principal;
  uint8_t has_action;
  entity_uid action;
  uint8_t has_resource;
  entity resource;
  option_string context;
  entity *related;
  size_t related_count;
  string arguments;
} request;

extern unsigned char __heap_base;
static uintptr_t top = (uintptr_t)&__heap_base;

__attribute__((export_name("cabi_realloc")))
void *cabi_realloc(void *old, size_t before, size_t align, size_t size) {
  if (size <= before) return old;
  uintptr_t start = (top + align - 1) & -align;
  size_t end = start + size, pages = end / 65536 + 1, now = __builtin_wasm_memory_size(0);
  if (end < start) __builtin_trap();
  if (pages > now && __builtin_wasm_memory_grow(0, pages - now) == (size_t)-1) __builtin_trap();
  top = end;
  for (size_t n = 0; n < before; n++) ((char *)start)[n] = ((char *)old)[n];
  return (void *)start;
}

static int same(string a, string b) {
  if (a.length != b.length) return 0;
  for (size_t n = 0; n < a.length; n++) {
    if (a.bytes[n] != b.bytes[n]) return 0;
  }
  return 1;
}

// The text in `{"who": "…"}`, the only form that the schema lets through. One with an escape in it
// is not read, rather than compared as it is written.
static int who(string json, string *found) {
  size_t quotes = 0, start = 0;
  for (size_t n = 0; n < json.length; n++) {
    if (json.bytes[n] == '\\') return 0;
    if (json.bytes[n] != '"') continue;
    quotes++;
    if (quotes == 3) start = n + 1;
    if (quotes == 4) {
      *found = (string){json.bytes + start, n - start};
      return 1;
    }
  }
  return 0;
}

EXPORT("describe") rule_info *describe(void) {
  static rule_info info;
  info = (rule_info){
      TEXT("only-one"), TEXT("1.0.0"), PRINCIPAL,
      TEXT("{\"type\":\"object\",\"required\":[\"who\"],\"additionalProperties\":false,"
           "\"properties\":{\"who\":{\"type\":\"string\"}}}")};
  return &info;
}

EXPORT("validate") validity *validate(const char *bytes, size_t length) {
  static validity result;
  string name;
  if (!who((string){bytes, length}, &name)) {
    result = (validity){1, TEXT("`who` has an escape in it, which this rule does not read")};
  }
  return &result;
}

EXPORT("evaluate") answer *evaluate(const request *asked) {
  static answer result;
  string name;
  if (!asked->has_principal || !who(asked->arguments, &name)) {
    result.failed = 1;
    result.error = TEXT("there is no principal, or no argument that can be read");
  } else if (same(asked->principal.uid.id, name)) {
    result.verdict.holds = 1;
  } else {
    result.verdict.reason = (option_string){1, TEXT("somebody else may")};
  }
  return &result;
}
