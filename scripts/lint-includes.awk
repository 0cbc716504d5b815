# Reads "file:line:#include …" lines and prints those that break a rule of ARCHITECTURE.md:
# a layer includes only itself and what is to its right; one applet never another's headers;
# a vendored header only its owners.

BEGIN {
    owner["sodium.h"] = "core/key.c core/base64.c net/quic_crypto.c net/quic_crypto_aead.c"
    owner["yyjson.h"] = "core/json.c"
    owner["bearssl.h"] = "core/jwt.c net/quic_crypto.c net/quic_crypto_aead.c net/websocket_key.c"
    owner["llhttp.h"] = "net/http.c"
    owner["sqlite3.h"] = "core/store_sqlite.c"
    may["core"] = "^core/"
    may["net"] = "^(net|core)/"
    may["applets/service"] = "^(applets/service|net|core)/"
    may["tests"] = "^(tests|applets|net|core)/"
}

function bad(why) {
    print file ":" line ": " header ": " why
    failed = 1
}

# core, net, tests, applets, or applets/NAME
function layer_of(path,    part, n) {
    n = split(path, part, "/")
    return part[1] == "applets" && n > 2 ? part[1] "/" part[2] : part[1]
}

{
    split($0, field, ":")
    file = field[1]
    line = field[2]
    header = $0
    sub(/.*include[ \t]*[<"]/, "", header)
    sub(/[>"].*/, "", header)

    vendored = header
    if (header ~ /^bearssl/) vendored = "bearssl.h"
    if (header ~ /^sodium/) vendored = "sodium.h"
    if (header ~ /^ngtcp2\//) {
        if (file !~ /^(net|tests\/(unit|fuzz|interop))\/quic[a-z_]*\.[ch]$/) bad("belongs to net/quic*")
        next
    }
    if (vendored == "bearssl.h" && file ~ /^(net|tests\/unit)\/tls[a-z_]*\.[ch]$/) next
    if (vendored in owner) {
        if (!index(" " owner[vendored] " ", " " file " ")) bad("belongs to " owner[vendored])
        next
    }
    if ($0 !~ /include[ \t]*"/) next

    if (header == "build_id.h") {
        if (file !~ /^applets\/(main\.c|version\.[ch])$/) bad("only applets/main.c and version.* do")
        next
    }
    if (header == "page_assets.h") {
        if (file != "applets/broker/assets.c") bad("only applets/broker/assets.c does")
        next
    }
    if (header !~ /^(core|net|applets|tests)\//) {
        bad("is not named from the root of the tree")
        next
    }
    layer = layer_of(file)
    if (layer in may) {
        if (header !~ may[layer]) bad("is to the left of " layer "/")
    } else if (layer ~ /^applets\//) {
        if (header ~ /^tests\//) bad("is a test's")
        if (header ~ /^applets\/[^\/]*\// && layer_of(header) != layer && header !~ /^applets\/service\//)
            bad("belongs to another applet")
    } else if (header ~ /^tests\//) {
        bad("is a test's")
    }
}

END { exit failed }
