# Copyright 2026 The tensorgate authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the gate as a lifecycle node: launch configures it, then activates it.

For a launch file of your own that brings up a whole robot: the gate is active when its policy was
proven, and `OnStateTransition` is where what depends on it begins.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, RegisterEventHandler
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterFile
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition

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
    ('autostart', 'true', 'Configure and activate; false: wait for ros2 lifecycle set'),
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


def change(gate, transition):
    """Ask `gate` for a transition."""
    matcher = matches_action(gate)
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matcher, transition_id=transition))


def generate_launch_description():
    gate = LifecycleNode(
        package='tensorgate',
        executable='tensorgate_node',
        namespace=LaunchConfiguration('namespace'),
        name=LaunchConfiguration('name'),
        # It is launch that configures and activates.
        parameters=[
            ParameterFile(LaunchConfiguration('params_file'), allow_substs=True),
            {'autostart': False},
        ],
        ros_arguments=['--log-level', LaunchConfiguration('log_level')],
        output='screen',
    )
    wanted = IfCondition(LaunchConfiguration('autostart'))
    configure = RegisterEventHandler(
        OnProcessStart(
            target_action=gate,
            on_start=[change(gate, Transition.TRANSITION_CONFIGURE)],
        ),
        condition=wanted,
    )
    activate = RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=gate,
            start_state='configuring',
            goal_state='inactive',
            entities=[change(gate, Transition.TRANSITION_ACTIVATE)],
            # What an operator configures later, an operator activates.
            handle_once=True,
        ),
        condition=wanted,
    )
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, default, description in ARGUMENTS
    ]
    return LaunchDescription([*arguments, configure, activate, gate])
