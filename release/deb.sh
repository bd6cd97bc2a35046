#!/usr/bin/env bash
# Makes Debian packages under target/shipped/: the command, from the release archive's files, and the gate as a service, built
# in the ROS that is sourced (`source ros/env.sh` makes one): `bash release/deb.sh [tensorgate|tensorgate-node]...`
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
root=$(pwd -P)
export SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
PATH=$root/target/tools/bin:$PATH
umask 022

main() {
    local package
    for package in "${@:-tensorgate}"; do
        if [[ $package == tensorgate-node ]]; then lay_out_node; fi
        rm -f -- "target/shipped/${package}_"*.deb
        cargo deb --locked --no-build --no-strip --package "$package" --output target/shipped/ 2>&1 |
            sed "s#$root/##" >&2
    done
    list
}

# What is signed is this list, so that what is not in it is signed by nobody.
list() {
    cd target/shipped
    rm -f -- SHA256SUMS.sig
    touch SHA256SUMS
    sed -i '/\.deb$/d' SHA256SUMS
    sha256sum -- *.deb >>SHA256SUMS
    cat SHA256SUMS
}

# The node, the launch files, and the messages that it speaks, as below one prefix.
lay_out_node() {
    local stage=$root/target/shipped/node messages index
    rm -rf -- "$stage"
    cargo build --locked --quiet --profile dist --package tensorgate-node
    install -D target/dist/tensorgate_node "$stage/lib/tensorgate/tensorgate_node"
    messages=$(ros_package tensorgate_msgs)
    cp -- "$messages"/lib/libtensorgate_msgs__*.so "$stage/lib/"
    # What `ros2 interface`, `ros2 launch` and rosbag2 look for; the rest names this machine's places.
    index=share/ament_index/resource_index
    mkdir -p "$stage/$index/packages" "$stage/share/tensorgate/launch" "$stage/share/tensorgate_msgs"
    cp -r -- "$messages/$index"/{packages,rosidl_interfaces} "$stage/$index/"
    cp -r -- "$messages"/share/tensorgate_msgs/{msg,srv,action,package.xml} "$stage/share/tensorgate_msgs/"
    : >"$stage/$index/packages/tensorgate"
    cp -- crates/node/package.xml "$stage/share/tensorgate/"
    cp -r -- launch/config launch/sros2 "$stage/share/tensorgate/"
    cp -- launch/*.launch.* "$stage/share/tensorgate/launch/"
    if grep -q -r -a -F -e "$messages" "$stage"; then
        echo "release: a path of this machine is in what is packaged" >&2
        return 1
    fi
}

# ros_package NAME: the prefix that has it.
ros_package() {
    local prefix
    IFS=: read -r -a prefixes <<<"$AMENT_PREFIX_PATH"
    for prefix in "${prefixes[@]}"; do
        if [[ -d $prefix/share/$1 ]]; then echo "$prefix"; return; fi
    done
    echo "release: $1 is in no prefix of AMENT_PREFIX_PATH" >&2
    echo "hint: source ros/env.sh" >&2
    return 1
}

main "$@"
