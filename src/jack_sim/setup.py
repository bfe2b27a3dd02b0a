from setuptools import find_packages, setup

package_name = "jack_sim"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["models/*.xml", "models/*.urdf", "py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
        (f"share/{package_name}/launch", ["launch/train.launch.py"]),
    ],
    install_requires=["setuptools", "mujoco", "numpy", "scipy", "tyro"],
    zip_safe=False,
    maintainer="Jack maintainers",
    maintainer_email="maintainers@jack-robot.org",
    description="Jack in MuJoCo: the robot and scene models, one real-time world, many batched worlds.",
    license="Apache-2.0",
    entry_points={"console_scripts": ["sim_node = jack_sim.sim_node:main"]},
)
