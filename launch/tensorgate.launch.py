# Copyright 2026 The tensorgate authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the gate: loads one signed policy, proves it, publishes it to the controllers."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile
from launch_ros.substitutions import FindPackageShare

PARAMS_FILE = PathJoinSubstitution([FindPackageShare('tensorgate'), 'config', 'tensorgate.yaml'])

# (name, default, description)
ARGUMENTS = [
    (
        'params_file',
        PARAMS_FILE,
        'Parameter file; where it names these arguments, their values are put in',
    ),
    ('namespace', '', 'Namespace of the node'),
    ('name', 'tensorgate', 'Name of the node'),
    ('log_level', 'info', 'Level of the log'),
    ('use_sim_time', 'false', 'Stamp messages by /clock; leases run by the steady clock anyway'),
    ('autostart', 'true', 'Configure and activate by itself; false: wait for ros2 lifecycle set'),
    (
        'policy',
        '',
        'Policy to publish: OWNER/NAME@COMMIT or the SHA-256 of a manifest, or a directory that '
        'holds policy.dsse.json; empty: what the channel names',
    ),
    ('trust', '', 'Trust policy: path of trust.toml'),
    ('channel', '', 'OWNER/NAME@BRANCH on the Hub where releases are announced; empty: no network'),
    ('store', '', 'Store directory; empty: $TENSORGATE_STORE or the default of the user'),
]


def generate_launch_description():
    gate = Node(
        package='tensorgate',
        executable='tensorgate_node',
        namespace=LaunchConfiguration('namespace'),
        name=LaunchConfiguration('name'),
        parameters=[ParameterFile(LaunchConfiguration('params_file'), allow_substs=True)],
        ros_arguments=['--log-level', LaunchConfiguration('log_level')],
        output='screen',
    )
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    return LaunchDescription([*arguments, gate])
