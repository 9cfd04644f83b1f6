# Runs inside the staging container, as the instance's own user. Arguments: `detect` or `named`,
# then the names of the buildpacks in order; they lie in numbered folders.
# Statuses: 222 nothing detected, 223 compile, 224 release, 225 supply, 226 finalize failed.
mode=$1
shift
names=("$@")
packs=/.cfx/buildpacks
build=/tmp/app
cache=/tmp/cache
deps=/tmp/deps
profile=/tmp/profile.d
result=/tmp/result
mkdir -p "$build" "$cache" "$deps" "$profile" "$result"
cd "$build" || exit 223

# Each buildpack keeps its own cache, whatever its place in the list.
cache_of() {
  local folder
  folder="$cache/$(printf '%s' "${names[$1]}" | tr -c 'A-Za-z0-9._-' '_')"
  mkdir -p "$folder"
  printf '%s' "$folder"
}

detect() {
  local index output
  for index in "${!names[@]}"; do
    [ -x "$packs/$index/bin/detect" ] || continue
    if output=$("$packs/$index/bin/detect" "$build"); then
      final=$index
      printf '%s' "${output:-${names[$index]}}" > "$result/detected"
      return 0
    fi
  done
  echo "None of the buildpacks detected a compatible application"
  return 1
}

supply() {
  local index=$1
  mkdir -p "$deps/$index"
  if [ ! -x "$packs/$index/bin/supply" ]; then
    echo "Buildpack ${names[$index]} cannot supply dependencies to another one: it has no bin/supply"
    return 1
  fi
  "$packs/$index/bin/supply" "$build" "$(cache_of "$index")" "$deps" "$index"
}

if [ "$mode" = detect ]; then
  detect || exit 222
else
  final=$((${#names[@]} - 1))
  for ((index = 0; index < final; index++)); do
    supply "$index" || { echo "Failed to run all supply scripts"; exit 225; }
  done
fi

pack=$packs/$final
# Behind others a buildpack finalizes; alone it compiles, which spares the app the deps folder.
finalizes() {
  [ -x "$pack/bin/finalize" ] || return 1
  [ ! -x "$pack/bin/compile" ] && return 0
  [ "$mode" = named ] && [ "$final" -gt 0 ]
}

if finalizes; then
  if [ -x "$pack/bin/supply" ]; then
    supply "$final" || { echo "Failed to run all supply scripts"; exit 225; }
  fi
  mkdir -p "$deps/$final"
  "$pack/bin/finalize" "$build" "$(cache_of "$final")" "$deps" "$final" "$profile" ||
    { echo "Failed to run finalize script"; exit 226; }
elif [ -x "$pack/bin/compile" ]; then
  "$pack/bin/compile" "$build" "$(cache_of "$final")" ||
    { echo "Failed to compile droplet: buildpack ${names[$final]} ended with status $?"; exit 223; }
else
  echo "Failed to compile droplet: buildpack ${names[$final]} has neither bin/compile nor bin/finalize"
  exit 223
fi

if [ -x "$pack/bin/release" ]; then
  "$pack/bin/release" "$build" > "$result/release.yml" ||
    { echo "Failed to build droplet release: buildpack ${names[$final]}"; exit 224; }
fi
if [ "$mode" = detect ]; then
  printf '%s\n' "${names[$final]}" > "$result/buildpacks"
else
  printf '%s\n' "${names[@]}" > "$result/buildpacks"
fi
