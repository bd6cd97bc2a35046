# Copyright 2026 The tensorgate authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the gate: loads one signed policy, proves it, publishes it to the controllers."""

import signal

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

# (name, default, description); without a default the argument is required.
ARGUMENTS = [
    (
        'policy',
        None,
        'Policy to publish: OWNER/NAME@COMMIT or a manifest\'s SHA-256, both from the store, '
        'or a directory that holds policy.dsse.json',
    ),
    ('trust', None, 'Trust policy: path of trust.toml'),
    (
        'store',
        '',
        'Store directory; empty: $TENSORGATE_STORE, else /var/lib/tensorgate (root) or the '
        'user\'s data directory',
    ),
    (
        'state',
        '',
        'Directory that remembers the newest release, for a read-only store; empty: the store\'s own',
    ),
    ('repo', '', 'Repository that the manifest must speak of; empty: any'),
    ('revision', '', 'Commit that the manifest must speak of (40 hex digits); empty: any'),
    ('fragment_size_kib', '1024', 'Payload of a fragment [KiB]: a power of two, 64 to 8192'),
    ('lease_ms', '500', 'How long controllers may rely on one status [ms]'),
    (
        'hold',
        'guarded',
        'How weights are held: guarded (pages of their file, moved into memory when somebody '
        'writes to it) or sealed (always a copy in memory)',
    ),
    (
        'hold_signal',
        str(signal.SIGRTMIN + 10),
        'Real-time signal that tells of a writer to a guarded file',
    ),
    (
        'handoff',
        '',
        'Path of a Unix socket through which controllers on this machine get the policy\'s pages; '
        'empty: none',
    ),
    (
        'handoff_uids',
        '',
        'Users who get it there: numbers separated by commas; empty: the node\'s own and root',
    ),
]
NUMBERS = ('fragment_size_kib', 'lease_ms', 'hold_signal')


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument('namespace', default_value='', description='Namespace of the node'),
        DeclareLaunchArgument('name', default_value='tensorgate', description='Name of the node'),
        DeclareLaunchArgument('log_level', default_value='info', description='Level of the log'),
    ]
    parameters = {}
    for name, default, description in ARGUMENTS:
        arguments.append(
            DeclareLaunchArgument(name, default_value=default, description=description)
        )
        # A commit of digits only must stay text.
        kind = int if name in NUMBERS else str
        parameters[name] = ParameterValue(LaunchConfiguration(name), value_type=kind)
    gate = Node(
        package='tensorgate',
        executable='tensorgate_node',
        namespace=LaunchConfiguration('namespace'),
        name=LaunchConfiguration('name'),
        parameters=[parameters],
        arguments=['--ros-args', '--log-level', LaunchConfiguration('log_level')],
        output='screen',
    )
    return LaunchDescription([*arguments, gate])
